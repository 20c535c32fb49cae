/* The demo page: what it shows and what it sends. demo_link.js stands before it in the same script. */

const SHOWN_EVENTS = 200;
const SAMPLES = 200;
const LOOK_MS = 5000;
const OWN_TYPES = new Set(['welcome', 'caught_up', 'ping', 'pong', 'ack', 'error', 'resync_required', 'reconnect']);

const $ = (id) => document.getElementById(id);
const show = (id, text) => { if ($(id).textContent !== String(text)) $(id).textContent = text; };
const element = (tag, className, text = '') => Object.assign(document.createElement(tag), {className, textContent: text});
const milliseconds = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms)).toString().replace('.0', '') + ' ms';

/* ---- what a reload of this tab remembers ---- */

const memory = {
    key: 'belfry ' + location.pathname,
    load() {
        try { return JSON.parse(sessionStorage.getItem(this.key)) || {}; } catch { return {}; }
    },
    save(value) {
        try { sessionStorage.setItem(this.key, JSON.stringify(value)); } catch { /* then a reload starts anew */ }
    },
};
const remember = () => memory.save({token: $('token').value.trim(), lastId: link.lastId, connectionId: link.connectionId});

/* ---- token ---- */

/** The claims as the token states them; only the server can tell whether they hold. */
function claimsOf(token) {
    try {
        const base64 = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
        return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))));
    } catch {
        return null;
    }
}

function describeToken() {
    const token = $('token').value.trim(), claims = claimsOf(token);
    if (token === '') show('claims', 'A JWT; make run prints an address of this page that brings one.');
    else if (claims === null) show('claims', 'This does not look like a JWT.');
    else {
        const until = new Date(claims.exp * 1000);
        const when = isNaN(until) ? 'without an end' : `${until < new Date() ? 'expired' : 'until'} ${until.toLocaleString()}`;
        show('claims', `${claims.sub} · ${when} · ${claims.scope || 'no scopes: it may receive only'}`);
    }
    if (claims && !$('notification').user_id.value) $('notification').user_id.value = claims.sub || '';
    offer();
}

/** `#token=…` of the address: taken, and removed from it, since addresses are copied and remembered. */
function tokenFromAddress() {
    const token = new URLSearchParams(location.hash.slice(1)).get('token');
    if (token === null) return '';
    history.replaceState(null, '', location.pathname + location.search);
    return token;
}

/* ---- connection ---- */

const address = new URL('ws', document.baseURI);
address.protocol = address.protocol.replace('http', 'ws');
const link = new Link(address, {state: showState, frame: showFrame});

function showState(_, why) {
    const names = {off: 'not connected', connecting: 'connecting…', on: 'connected', waiting: 'reconnecting…', stopped: 'stopped'};
    $('status').dataset.state = link.state;
    show('status', names[link.state]);
    if (link.state !== 'connecting') notice(why, link.state === 'stopped' ? 'bad' : '');
    show('since', link.state === 'on' ? new Date().toLocaleTimeString() : '–');
    offer();
    remember();
    if (link.state === 'on') look();
    if (link.state === 'stopped') $('token').focus({preventScroll: true});
}

function notice(text, kind = '') {
    $('notice').hidden = text === '';
    $('notice').dataset.kind = kind;
    show('notice', text);
}

/** The buttons offer what makes sense now. */
function offer() {
    const connected = link.state === 'on', token = $('token').value.trim();
    show('connect', connected ? 'Renew token' : link.state === 'waiting' ? 'Try now' : 'Connect');
    $('connect').hidden = connected && token === link.token;
    $('connect').disabled = token === '' || link.state === 'connecting';
    $('disconnect').hidden = link.state === 'off' || link.state === 'stopped';
}

$('connection').addEventListener('submit', (submit) => {
    submit.preventDefault();
    const token = $('token').value.trim();
    if (link.state === 'on') link.renew(token);
    else link.connect(token);
    offer();
});
$('token').addEventListener('input', describeToken);
$('disconnect').addEventListener('click', () => link.disconnect());
$('forget').addEventListener('click', () => {
    $('token').value = link.lastId = link.connectionId = '';
    link.disconnect();
    for (const id of ['user', 'connection-id', 'position']) show(id, '–');
    describeToken();
    $('token').focus();
});
addEventListener('online', () => link.hurry());
addEventListener('pagehide', remember);

/* ---- frames ---- */

const clock = {ahead: 0, asked: new Map()};
let replaying = false, samples = [], count = 0, waiting = [], frameAsked = false;

function showFrame(frame) {
    const arrived = Date.now();
    show('position', link.lastId);
    if (!OWN_TYPES.has(frame.type)) {
        takeEvent(frame, arrived);
    } else if (frame.type === 'welcome') {
        show('user', frame.data.user_id);
        show('connection-id', frame.data.connection_id);
        replaying = frame.data.recovering;
        measure();
    } else if (frame.type === 'caught_up') {
        replaying = false;
        if (frame.data.replayed > 0) notice(`Caught up: ${frame.data.replayed} events came in afterwards.`);
    } else if (frame.type === 'resync_required') {
        replaying = false;
        notice(`What happened before ${frame.data.position} cannot be told in full (${frame.data.reason}). From here on it is live.`);
    } else if (frame.type === 'reconnect') {
        notice(`The server asks to reconnect in ${(frame.data.after_ms / 1000).toFixed(0)} s.`);
    } else if (frame.type === 'error') {
        notice(`${frame.data.code}: ${frame.data.message}`, 'bad');
    } else if (frame.type === 'ack' && frame.data.ref === 'auth') {
        notice('The token was renewed.');
    } else if (frame.type === 'pong') {
        measured(frame, arrived);
    }
}

/** A ping of our own tells the round trip, and by how much the server's clock is ahead of this one. */
function measure() {
    const ref = 'rtt-' + Math.round(performance.now());
    if (link.send({type: 'ping', event_id: ref})) clock.asked = new Map([[ref, performance.now()]]);
}

function measured(pong, arrived) {
    const asked = clock.asked.get(pong.data.ref);
    if (asked === undefined) return;
    const roundTrip = performance.now() - asked, ahead = Date.parse(pong.timestamp) - (arrived - roundTrip / 2);
    // Less than that is within what can be told; clocks of one machine then count as equal.
    clock.ahead = Math.abs(ahead) > roundTrip + 5 ? ahead : 0;
    show('round-trip', milliseconds(roundTrip));
}

function takeEvent(frame, arrived) {
    const latency = replaying ? null : Math.max(0, arrived - Date.parse(frame.timestamp) + clock.ahead);
    if (latency !== null) samples = [...samples.slice(1 - SAMPLES), latency];
    count++;
    waiting.push({frame, latency});
    if (waiting.length > SHOWN_EVENTS) waiting.shift();
    if (!frameAsked) {
        frameAsked = true;
        (document.hidden ? setTimeout : requestAnimationFrame)(paint);
    }
}

/** Once a picture, however many events came: a burst of thousands must not freeze the page. */
function paint() {
    frameAsked = false;
    const rows = waiting.map(eventRow).reverse();
    waiting = [];
    $('events').prepend(...rows);
    while ($('events').children.length > SHOWN_EVENTS) $('events').lastChild.remove();
    $('empty').hidden = count > 0;
    show('count', count);
    if (samples.length > 0) {
        show('latency', milliseconds(samples[samples.length - 1]));
        show('median', milliseconds([...samples].sort((a, b) => a - b)[samples.length >> 1]));
    }
}

/** Whom an event was for is not in its envelope: known are those that this page has sent, by their ids. */
const audiences = new Map();
const audienceText = (audience) => {
    if (audience === undefined) return '';
    if (audience === 'broadcast') return 'to everybody';
    return 'to ' + (audience.user || audience.connection || (audience.users || []).join(', '));
};

function eventRow({frame, latency}) {
    const row = element('li', 'new ' + tone(frame)), top = element('p', 'top'), time = element('time', '');
    row.dataset.id = frame.event_id;
    time.dateTime = frame.timestamp;
    time.textContent = new Date(frame.timestamp).toLocaleTimeString([], {hour12: false}) + '.' + frame.timestamp.slice(20, 23);
    top.append(element('span', 'type', frame.type), element('span', 'audience', audienceText(audiences.get(frame.event_id))));
    if (frame.source_id) top.append(element('span', 'source', `source ${frame.source_id}`));
    const when = element('span', 'when');
    when.append(time, element('span', 'took', latency === null ? 'replayed' : milliseconds(latency)));
    top.append(when);
    const details = element('details', ''), id = element('summary', 'mono', frame.event_id);
    details.append(id, element('pre', '', JSON.stringify(frame, null, 2)));
    row.append(top, ...summary(frame), details);
    return row;
}

function tone({type, data}) {
    if (type === 'notification') return {success: 'good', warning: 'warning', error: 'error'}[data.level] || 'info';
    if (type === 'task_status_update') return {completed: 'good', failed: 'error'}[data.status] || '';
    return '';
}

/** An event in a line for people, where its type is known. */
function summary({type, data}) {
    const text = element('p', 'text'), parts = [text];
    const say = (strong, ...rest) => text.append(element('strong', '', strong ?? ''), rest.filter((s) => s).map((s) => ' ' + s).join(' ·'));
    if (type === 'task_status_update') {
        say(data.task_id, data.status, typeof data.progress === 'number' && data.progress + ' %', data.message);
        if (typeof data.progress === 'number') {
            parts.push(Object.assign(element('progress', ''), {max: 100, value: data.progress, ariaLabel: 'progress'}));
        }
    } else if (type === 'agent_activity_update') {
        say(data.agent_id, data.activity, data.task_id, data.status, data.message);
    } else if (type === 'calendar_event_created') {
        say(data.title, new Date(data.start).toLocaleString() + ' to ' + new Date(data.end).toLocaleString(), data.location);
    } else if (type === 'notification') {
        say(data.title, data.message);
        if (/^https?:\/\//.test(data.link || '')) {
            parts.push(Object.assign(element('a', '', data.link), {href: data.link, target: '_blank', rel: 'noopener noreferrer'}));
        }
    } else {
        text.append(JSON.stringify(data).slice(0, 300));
    }
    return parts;
}

$('clear').addEventListener('click', () => {
    $('events').replaceChildren();
    count = 0;
    samples = [];
    for (const id of ['latency', 'median']) show(id, '–');
    show('count', 0);
    $('empty').hidden = false;
});

/* ---- health ---- */

async function look() {
    measure();
    try {
        const answer = await fetch(new URL('ws/health', document.baseURI), {cache: 'no-store', signal: AbortSignal.timeout(4000)});
        const health = await answer.json();
        showHealth(health.status, health.connections, health.stale);
        show('redis', `Redis: ${health.redis.connected ? 'connected' : 'away'} · pub/sub: ${health.redis.pubsub_connected ? 'connected' : 'away'}`);
    } catch {
        showHealth('unknown', {}, false);
        show('redis', 'Redis: –');
    }
}

function showHealth(status, connections, stale) {
    $('health').dataset.health = status;
    show('health', status + (stale ? ', last known' : ''));
    for (const id of ['total', 'alive', 'dead', 'local']) show(id, connections[id] ?? '–');
}

setInterval(() => document.hidden || look(), LOOK_MS);
document.addEventListener('visibilitychange', () => document.hidden || look());

/* ---- start ---- */

function start() {
    const old = memory.load(), fresh = tokenFromAddress(), token = fresh || old.token || '';
    const sameUser = claimsOf(token)?.sub === claimsOf(old.token || '')?.sub;
    link.lastId = sameUser ? old.lastId || '' : '';
    link.connectionId = sameUser ? old.connectionId || '' : '';
    show('position', link.lastId || '–');
    $('token').value = token;
    describeToken();
    if (token !== '') link.connect(token);
    else showState(link, '');
    look();
}
addEventListener('hashchange', () => location.hash.startsWith('#token=') && (remember(), start()));
