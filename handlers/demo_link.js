'use strict';
/* The demo page's connection: opens /ws, keeps the position, and knows what to do after each kind of close. No DOM. */

const CONNECT_TIMEOUT_MS = 15000; // the server gives up on its own subscriptions after 10 s
const STABLE_MS = 5000;           // a connection that lived this long was a good one: backoff begins anew
const LONGEST_WAIT_MS = 3600000;

/** What follows a close, by its code: {stop}, {now}, {after}, {freshId}, or {} for backoff. */
function afterClose(code, reason) {
    switch (code) {
    case 4401:
        return {stop: 'The token was refused. Paste a new one and connect.'};
    case 4403:
        return {stop: 'The server does not want this client back.'};
    case 1002: case 1003: case 1007: case 1009: case 4400:
        return {stop: 'The server calls this a fault of the client.'};
    case 1012:
        return {now: true};
    case 1013: case 4429: {
        const told = /retry_after_ms=(\d+)/.exec(reason);
        return told ? {after: Math.min(Number(told[1]), LONGEST_WAIT_MS)} : {};
    }
    case 4409:
        return {freshId: true};
    default:
        return {};
    }
}

/** Exponential backoff, half of it at random, so that a thousand clients do not come back as one. */
function backoffDelay(attempt, backoff) {
    const full = Math.min(backoff.max_ms, backoff.base_ms * 2 ** Math.min(attempt, 20));
    return full / 2 + Math.random() * full / 2;
}

class Link {
    /** `address` is the URL of /ws; on.state(link, why) and on.frame(frame) tell the news. */
    constructor(address, on) {
        this.address = address;
        this.on = on;
        this.state = 'off'; // off, connecting, on, waiting, stopped
        this.token = '';
        this.lastId = '';
        this.connectionId = '';
        this.backoff = {base_ms: 500, max_ms: 30000};
        this.pingInterval = 30000;
        this.attempt = 0;
        this.handedOver = false;
        this.ws = null;
        this.timer = 0;
        setInterval(() => this.watch(), 1000);
    }

    connect(token) {
        this.token = token;
        this.attempt = 0;
        this.handedOver = false;
        this.open();
    }

    disconnect() {
        this.drop(1000);
        this.enter('off', '');
    }

    send(message) {
        if (this.ws === null || this.ws.readyState !== WebSocket.OPEN) return false;
        this.ws.send(JSON.stringify(message));
        return true;
    }

    /** A new token for the open connection. */
    renew(token) {
        this.token = token;
        return this.send({type: 'auth', event_id: 'auth', data: {token}});
    }

    open() {
        this.drop(1000);
        const url = new URL(this.address);
        if (this.lastId) url.searchParams.set('last_event_id', this.lastId);
        if (this.connectionId) url.searchParams.set('connection_id', this.connectionId);
        let ws;
        try {
            ws = new WebSocket(url, ['belfry.v1', 'bearer.' + this.token]);
        } catch {
            this.enter('stopped', 'This is no token: it has characters that a token cannot have.');
            return;
        }
        this.ws = ws;
        this.openedAt = this.heardAt = performance.now();
        this.welcomed = false;
        ws.onmessage = (message) => this.ws === ws && this.hear(message.data);
        ws.onclose = (close) => this.ws === ws && this.closed(close.code, close.reason);
        this.enter('connecting', '');
    }

    /** Leaves the socket, if there is one, without waiting for the other side. */
    drop(code) {
        clearTimeout(this.timer);
        const ws = this.ws;
        this.ws = null;
        if (ws !== null) ws.close(code);
    }

    hear(text) {
        const frame = JSON.parse(text);
        this.heardAt = performance.now();
        if (frame.event_id) this.lastId = frame.event_id;
        if (frame.type === 'welcome') {
            this.welcomed = true;
            this.connectionId = frame.data.connection_id;
            this.backoff = frame.data.backoff;
            this.pingInterval = frame.data.ping_interval_ms;
            this.enter('on', '');
        } else if (frame.type === 'ping') {
            this.send({type: 'pong', event_id: frame.event_id});
        }
        this.on.frame(frame);
    }

    closed(code, reason) {
        if (this.welcomed && performance.now() - this.openedAt > STABLE_MS) {
            this.attempt = 0;
            this.handedOver = false;
        }
        this.ws = null;
        const next = afterClose(code, reason);
        const said = `Closed ${code}${reason ? ': ' + reason : ''}.`;
        if (next.freshId) this.connectionId = '';
        if (next.stop) {
            this.enter('stopped', `${said} ${next.stop}`);
        } else if (next.now && !this.handedOver) {
            this.handedOver = true;
            this.open();
        } else if (next.after !== undefined) {
            this.wait(next.after + Math.random() * (next.after / 4 + 250), said);
        } else {
            this.wait(backoffDelay(this.attempt++, this.backoff), said);
        }
    }

    wait(ms, said) {
        this.timer = setTimeout(() => this.open(), ms);
        this.enter('waiting', `${said} Trying again in ${(ms / 1000).toFixed(1)} s.`);
    }

    /** The network is back: no need to sit out the wait. */
    hurry() {
        if (this.state === 'waiting') this.open();
    }

    /** A socket whose other end has vanished says nothing at all: the server's pings tell. */
    watch() {
        if (this.ws === null) return;
        const limit = this.welcomed ? 2 * this.pingInterval + 5000 : CONNECT_TIMEOUT_MS;
        if (performance.now() - this.heardAt <= limit) return;
        const ws = this.ws;
        this.closed(4408, 'the server is silent');
        ws.close();
    }

    enter(state, why) {
        this.state = state;
        this.on.state(this, why);
    }
}
