// The shop as an HTTP server: identifies the caller, lets faults strike, runs the route, writes the log.
import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import fastify from 'fastify';
import { Api, answerError, answerJson, checkBody, describeSite } from './api.mjs';
import { checkPermissions, demandUser } from './auth.mjs';
import { ShopError, noRoute } from './errors.mjs';
import { maintenance, tooMany } from './faults.mjs';
import { decodeJson, encodeJson, parseQuery } from './php.mjs';

const BODY_LIMIT_BYTES = 16 * 1024 * 1024;

// site: {shop, gate, faults, rate, log, delayMs, tls, sitePath, ordersMoveDates}
export function buildApp(site) {
    const app = fastify({
        serverFactory: (handler) => createServer(site.tls, handler),
        bodyLimit: BODY_LIMIT_BYTES,
        forceCloseConnections: true,
        querystringParser: () => ({}),
        exposeHeadRoutes: true,
        ignoreTrailingSlash: true,
    });
    const api = new Api(site.shop, site);
    const root = `${site.sitePath}/wp-json`;
    const writes = ['PUT', 'PATCH', 'POST'];
    const route = (method, path, act, run, checks = false) =>
        app.route({ method, url: `${root}${path}`, handler: (request, reply) => serve(site, request, reply, { act, run, checks }) });

    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    app.setErrorHandler((error, _request, reply) => sendInternalError(error, reply));
    app.setNotFoundHandler((request, reply) => serve(site, request, reply, { act: null, run: () => { throw noRoute(); } }));

    app.get(`${site.sitePath}/`, (_request, reply) => reply
        .header('link', `<${site.shop.url}/wp-json/>; rel="https://api.w.org/"`).type('text/html').send('<!DOCTYPE html>\n<title>Simulated shop</title>\n'));
    route('GET', '', null, () => answerJson(200, describeSite(site.shop, Boolean(site.tls))));
    route('GET', '/wc/v3', null, () => answerJson(200, encodeJson({ namespace: 'wc/v3', routes: {} })));
    route('GET', '/wc/v3/products', 'list', (call) => api.listProducts(call));
    route('POST', '/wc/v3/products', 'create', (call) => api.createProduct(call), true);
    route(writes, '/wc/v3/products/batch', 'batch', (call) => api.batchProducts(call));
    route('GET', '/wc/v3/products/:id(^\\d+$)', 'view', (call) => api.getProduct(call));
    route(writes, '/wc/v3/products/:id(^\\d+$)', 'edit', (call) => api.updateProduct(call), true);
    route('DELETE', '/wc/v3/products/:id(^\\d+$)', 'delete', (call) => api.deleteProduct(call));
    route('GET', '/wc/v3/products/:id(^\\d+$)/variations', 'list', () => answerJson(200, '[]', { 'x-wp-total': '0', 'x-wp-totalpages': '0' }));
    route('GET', '/wc/v3/orders', 'list', () => api.listOrders());
    route('POST', '/wc/v3/orders', 'create', (call) => api.createOrder(call));
    route('GET', '/wc/v3/system_status', 'list', () => api.systemStatus());
    return app;
}

// The method may be tunnelled and the route may stand in the query (?rest_route=); what the caller signed is kept beside.
function createServer(tls, handler) {
    const listener = (request, response) => {
        const [path, search = ''] = split(request.url);
        const query = parseQuery(search);
        request.asked = { method: request.method, path, query };
        if (request.method === 'POST') {
            request.method = (query._method || request.headers['x-http-method-override'] || 'POST').toUpperCase();
        }
        if (query.rest_route && path.endsWith('/')) {
            request.url = `${path}wp-json${query.rest_route}`;
        }
        handler(request, response);
    };
    return tls ? https.createServer(tls, listener) : http.createServer(listener);
}

function split(url) {
    const at = url.indexOf('?');
    return at < 0 ? [url] : [url.slice(0, at), url.slice(at + 1)];
}

async function serve(site, request, reply, { act, run, checks }) {
    const { asked } = request.raw;
    const { query } = asked;
    const path = split(request.raw.url)[0];
    const method = request.raw.method;
    const entry = { at: Date.now(), method, path, query: withoutCredentials(query), status: 0, auth: 'none', effect: false, changes: [] };
    const started = performance.now();
    const body = readBody(request);
    const finish = (status) => {
        entry.status = status;
        entry.ms = Math.round((performance.now() - started) * 10) / 10;
        site.log.add(entry);
    };

    if (site.faults.outage) {
        entry.fault = `outage-${site.faults.outage}`;
        finish(site.faults.outage === '503' ? 503 : 0);
        return site.faults.outage === '503' ? send(site, reply, maintenance()) : cut(reply, site.faults.outage, null);
    }
    const wait = site.rate.take();
    if (wait > 0) {
        finish(429);
        return send(site, reply, tooMany(wait));
    }
    const fault = site.faults.take({ method, path, ...targets(site.shop, request.params?.id, query, body) });
    entry.fault = fault?.kind;
    if (site.delayMs || fault?.delayMs) {
        await sleep(site.delayMs + (fault?.delayMs ?? 0));
    }
    if (fault && !fault.after && !fault.delays) {
        return strike(site, request, reply, fault, null, finish);
    }
    const call = { method, path, query, body, urlId: request.params?.id, url: `${site.shop.url}${path.slice(site.sitePath.length)}?${toSearch(query)}` };
    const journalBefore = site.shop.journal.length;
    const answer = respond(site, request, call, entry, { act, run, checks });
    entry.changes = site.shop.journal.slice(journalBefore).map(({ op, id, sku }) => ({ op, id, sku }));
    entry.effect = entry.changes.length > 0;
    if (fault?.after) {
        return strike(site, request, reply, fault, answer, finish);
    }
    finish(answer.status);
    return send(site, reply, answer);
}

// Runs one call to its end without a pause: identity, then the body, then the right to do it, then the act.
function respond(site, request, call, entry, { act, run, checks }) {
    try {
        const identity = site.gate.identify({ ...request.raw.asked, authorization: request.headers.authorization });
        entry.auth = identity.kind;
        checkPermissions(identity.entry, call.method);
        if (call.body === undefined) {
            throw new ShopError(400, 'rest_invalid_json', 'Invalid JSON body passed.', { json_error_code: 4, json_error_message: 'Syntax error' });
        }
        if (checks) {
            checkBody(call.body);
        }
        if (act) {
            demandUser(identity, act);
        }
        return run({ ...call, id: call.body.id ?? call.query.id ?? call.urlId });
    } catch (error) {
        if (!(error instanceof ShopError)) {
            throw error;
        }
        return answerError(error);
    }
}

// The decoded body as a map; undefined if it claims to be JSON and is not.
function readBody(request) {
    const bytes = request.body;
    if (!bytes || bytes.length === 0) {
        return {};
    }
    const type = request.headers['content-type'] ?? '';
    if (type.startsWith('application/x-www-form-urlencoded')) {
        return { ...parseQuery(bytes.toString()) };
    }
    if (!/^application\/([\w.-]+\+)?json/.test(type)) {
        return {};
    }
    const body = decodeJson(bytes);
    return body === null || (body !== undefined && typeof body !== 'object') ? {} : body;
}

// Which products a request is about, for faults that aim at one.
function targets(shop, urlId, query, body) {
    const items = [body, ...(body?.create ?? []), ...(body?.update ?? [])].filter(Boolean);
    const ids = () => new Set([urlId, ...items.map((item) => item.id), ...(body?.delete ?? []), ...(query.include?.split?.(',') ?? [])].map(Number));
    const skus = () => new Set([
        ...items.map((item) => item.sku), ...(query.sku?.split?.(',') ?? []), ...[...ids()].map((id) => shop.find(id)?.fields.sku),
    ]);
    return { ids, skus };
}

function strike(site, request, reply, fault, answer, finish) {
    if (fault.cut) {
        finish(0);
        return cut(reply, fault.cut, answer);
    }
    const wantsJson = (request.headers.accept ?? '').includes('application/json');
    const struck = fault.spoil ? fault.spoil(answer) : fault.answer(wantsJson);
    if (fault.retryAfter !== undefined) {
        struck.headers = { ...struck.headers, 'retry-after': String(fault.retryAfter) };
    }
    finish(struck.status);
    return send(site, reply, struck);
}

function send(site, reply, { status, headers, text }) {
    if (site.shop.clock.skewMs) {
        reply.header('date', new Date(Date.now() + site.shop.clock.skewMs).toUTCString());
    }
    return reply.code(status).headers(headers).send(text);
}

// hang: never answer; reset: drop the connection; truncate: promise the whole answer and send half of it.
function cut(reply, how, answer) {
    reply.hijack();
    const { socket } = reply.raw;
    if (how === 'reset') {
        socket.resetAndDestroy && !socket.encrypted ? socket.resetAndDestroy() : socket.destroy(); // a TLS socket cannot reset
    } else if (how === 'truncate') {
        const bytes = Buffer.from(answer.text);
        reply.raw.writeHead(answer.status, { ...answer.headers, 'content-length': bytes.length });
        reply.raw.write(bytes.subarray(0, bytes.length >> 1), () => socket.destroy());
    }
    return reply;
}

function withoutCredentials(query) {
    return Object.fromEntries(Object.entries(query).filter(([name]) => !name.startsWith('oauth_') && !name.startsWith('consumer_')));
}

function toSearch(query) {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(withoutCredentials(query))) {
        for (const [inner, text] of typeof value === 'object' ? Object.entries(value) : [[null, value]]) {
            search.append(inner === null ? name : `${name}[${inner}]`, text);
        }
    }
    return search;
}

function sendInternalError(error, reply) {
    if (error.statusCode === 413) {
        return reply.code(413).type('text/html').send('<h1>413 Request Entity Too Large</h1>');
    }
    process.stderr.write(`woocommerce simulator: ${error.stack}\n`);
    return reply.code(500).type('application/json').send('{"code":"internal_server_error","message":"","data":{"status":500}}');
}
