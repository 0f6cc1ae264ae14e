#!/usr/bin/env node
// sink: takes POSTs as fast as one process can and counts them by id, for tests that deliver jobs over HTTP.
// The id is ?id=, else the last part of the path if it is not 'x' or empty, else "id" (or "n") in the body.
import http from 'node:http';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
    options: {
        port: { type: 'string', default: '0' }, 'fail-first': { type: 'string', default: '0' }, 'fail-status': { type: 'string', default: '500' },
        'delay-ms': { type: 'string', default: '0' }, 'exit-with-stdin': { type: 'boolean', default: false },
    },
});
const settings = { failFirst: Number(options['fail-first']), failStatus: Number(options['fail-status']), delayMs: Number(options['delay-ms']) };
const ID_IN_BODY = /"(?:id|n)"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d+))/;

let state = fresh();

function fresh() {
    return { requests: 0, failed: 0, tries: new Map(), delivered: new Map(), last: null };
}

const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://sink');
    if (request.method === 'POST' && url.pathname !== '/settings') {
        collect(request, (body) => take(request, url, body, response));
    } else {
        collect(request, (body) => answer(response, 200, admin(request.method, url, body)));
    }
});

function collect(request, done) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('end', () => done(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
}

function take(request, url, body, response) {
    const id = findId(url, body);
    const tries = (state.tries.get(id) ?? 0) + 1;
    state.tries.set(id, tries);
    state.requests++;
    state.last = { method: request.method, url: request.url, headers: request.headers, body: body.toString('latin1') };
    const failing = tries <= settings.failFirst;
    if (failing) {
        state.failed++;
    } else {
        state.delivered.set(id, (state.delivered.get(id) ?? 0) + 1);
    }
    const reply = () => answer(response, failing ? settings.failStatus : 200, failing ? '{"ok":false}' : '{"ok":true}');
    settings.delayMs > 0 ? setTimeout(reply, settings.delayMs) : reply();
}

function findId(url, body) {
    const named = url.searchParams.get('id');
    if (named !== null) {
        return named;
    }
    const last = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
    if (last !== '' && last !== 'x') {
        return last;
    }
    const match = ID_IN_BODY.exec(body.toString('latin1'));
    return match ? match[1] ?? match[2] : '';
}

// GET /count (?id= for one), GET /ids, GET /last, DELETE /count, POST /settings {failFirst, failStatus, delayMs}.
function admin(method, url, body) {
    if (url.pathname === '/settings') {
        return JSON.stringify(Object.assign(settings, JSON.parse(body.toString())));
    }
    if (method === 'DELETE') {
        state = fresh();
        return '{"ok":true}';
    }
    if (url.pathname === '/ids') {
        return JSON.stringify(Object.fromEntries(state.delivered));
    }
    if (url.pathname === '/last') {
        return JSON.stringify(state.last);
    }
    const id = url.searchParams.get('id');
    if (id !== null) {
        return JSON.stringify({ id, delivered: state.delivered.get(id) ?? 0, tries: state.tries.get(id) ?? 0 });
    }
    return JSON.stringify({ requests: state.requests, failed: state.failed, ids: state.delivered.size, ...repeats() });
}

function repeats() {
    let repeated = 0;
    let most = 0;
    for (const count of state.delivered.values()) {
        repeated += count - 1;
        most = Math.max(most, count);
    }
    return { repeated, most };
}

function answer(response, status, text) {
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    response.end(text);
}

function stop() {
    server.close(() => process.exit(0));
    server.closeAllConnections?.();
}

server.keepAliveTimeout = 60_000;
server.listen(Number(options.port), '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}`, pid: process.pid })}\n`);
});
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
if (options['exit-with-stdin']) {
    process.stdin.on('end', stop).on('error', stop).resume();
}
