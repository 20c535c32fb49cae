/* The demo page's forms: each makes one REST call with the token of the page and shows its answer. */

const forms = [...document.querySelectorAll('form[data-path]')];
const tabs = forms.map((form) => $('tab-' + form.id));

function choose(index) {
    forms.forEach((form, i) => { form.hidden = i !== index; });
    tabs.forEach((tab, i) => {
        tab.setAttribute('aria-selected', i === index);
        tab.tabIndex = i === index ? 0 : -1;
    });
    for (const id of ['send', 'ids']) $(id).setAttribute('form', forms[index].id);
    // POST /events has no usual audience: there, to say nothing means everybody.
    $('audience').options[0].textContent = forms[index].id === 'custom' ? 'everybody' : 'as usual';
    $('audience').options[1].hidden = forms[index].id === 'custom';
}

tabs.forEach((tab, index) => {
    tab.addEventListener('click', () => choose(index));
    tab.addEventListener('keydown', ({key}) => {
        const step = {ArrowRight: 1, ArrowLeft: -1}[key];
        if (step === undefined) return;
        const next = (index + step + tabs.length) % tabs.length;
        choose(next);
        tabs[next].focus();
    });
});

function chooseAudience() {
    const kind = $('audience').value;
    const offered = {user: $('user').textContent, users: $('user').textContent, connection: link.connectionId}[kind];
    $('ids-label').hidden = offered === undefined;
    if (offered !== undefined) $('ids').value = offered.replace('–', '');
}
$('audience').addEventListener('change', chooseAudience);

const commaList = (text) => text.split(',').map((item) => item.trim()).filter((item) => item !== '');

function audience() {
    const kind = $('audience').value, ids = $('ids').value.trim();
    if (kind === '' || kind === 'broadcast') return kind;
    return {[kind]: kind === 'users' ? commaList(ids) : ids};
}

/** A local date and time with this machine's offset at that time, as RFC 3339 wants it. */
function rfc3339(local) {
    const minutes = -new Date(local).getTimezoneOffset(), two = (n) => String(Math.floor(n)).padStart(2, '0');
    const offset = (minutes < 0 ? '-' : '+') + two(Math.abs(minutes) / 60) + ':' + two(Math.abs(minutes) % 60);
    return (local.length === 16 ? local + ':00' : local) + offset;
}

function fieldValue(field) {
    if (field.type === 'number') return Number(field.value);
    if (field.type === 'checkbox') return field.checked;
    if (field.type === 'datetime-local') return rfc3339(field.value);
    if (field.name === 'attendees') return commaList(field.value);
    return field.value;
}

/** {path, body} of the call that the form stands for. Ids in {braces} go into the path, empty optional fields nowhere. */
function callOf(form) {
    let path = form.dataset.path;
    const body = {};
    for (const field of form.elements) {
        const hole = `{${field.name}}`;
        if (field.name === '') continue; // the audience's ids and the button belong to all forms
        if (path.includes(hole)) path = path.replace(hole, encodeURIComponent(field.value));
        else if (field.value !== '' || 'keep' in field.dataset) body[field.name] = fieldValue(field);
    }
    if (audience() !== '') body.audience = audience();
    if (form.id === 'custom') {
        body.audience ??= 'broadcast';
        body.data = JSON.parse(body.data ?? '{}');
        if (body.replay) delete body.replay;
    }
    return {path, body};
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const curlOf = (url, body) => `curl ${quoted(url)} \\\n  -H "Authorization: Bearer $TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;

function showAnswer(good, line, body) {
    $('answer').hidden = false;
    $('answer').dataset.kind = good ? 'good' : 'bad';
    show('answer-line', line);
    show('answer-body', body);
}

/** The event may have arrived before the answer to the call that sent it: its row learns the audience now. */
function noteAudience({event_id, audience: to}) {
    if (audiences.size >= SHOWN_EVENTS) audiences.delete(audiences.keys().next().value);
    audiences.set(event_id, to);
    const row = $('events').querySelector(`li[data-id="${CSS.escape(event_id)}"] .audience`);
    if (row) row.textContent = audienceText(to);
}

async function submit(form) {
    let call;
    try {
        call = callOf(form);
    } catch (error) {
        showAnswer(false, 'The data is not JSON', error.message);
        return;
    }
    const url = new URL(call.path, document.baseURI).href;
    show('curl', curlOf(url, call.body));
    $('send').disabled = true;
    try {
        const answer = await fetch(url, {
            method: 'POST',
            headers: {'Authorization': 'Bearer ' + $('token').value.trim(), 'Content-Type': 'application/json'},
            body: JSON.stringify(call.body), cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(15000),
        });
        const body = await answer.json();
        if (answer.ok) noteAudience(body);
        showAnswer(answer.ok, answer.ok ? `${answer.status} accepted` : `${answer.status} ${body.title}: ${body.detail || ''}`, JSON.stringify(body, null, 2));
    } catch (error) {
        showAnswer(false, 'No answer', String(error.message || error));
    } finally {
        $('send').disabled = false;
    }
}

for (const form of forms) {
    form.addEventListener('submit', (event) => {
        event.preventDefault();
        submit(form);
    });
}

/** Next full hour, for an hour, in the form that datetime-local fields take. */
function prefillCalendar() {
    const at = (hours) => {
        const date = new Date(Date.now() + hours * 3600000);
        date.setMinutes(-date.getTimezoneOffset(), 0, 0);
        return date.toISOString().slice(0, 16);
    };
    $('calendar').start.value = at(1);
    $('calendar').end.value = at(2);
}

prefillCalendar();
choose(0);
start();
