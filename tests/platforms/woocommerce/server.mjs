#!/usr/bin/env node
// woocommerce simulator: reads options, starts the shop and its back door, prints one line of JSON when both listen.
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';

const SKIPPED = 77;

const OPTIONS = {
    port: { type: 'string', default: '0' }, 'admin-port': { type: 'string', default: '0' }, host: { type: 'string', default: '127.0.0.1' },
    'tls-cert': { type: 'string' }, 'tls-key': { type: 'string' }, 'site-url': { type: 'string' }, 'site-path': { type: 'string', default: '' },
    key: { type: 'string' }, secret: { type: 'string' }, 'read-key': { type: 'string' }, 'read-secret': { type: 'string' },
    'timezone-offset': { type: 'string', default: '-300' }, 'clock-skew-ms': { type: 'string', default: '0' },
    rate: { type: 'string', default: '0' }, products: { type: 'string', default: '0' }, fill: { type: 'string' },
    'delay-ms': { type: 'string', default: '0' }, 'request-log': { type: 'string' }, 'orders-move-dates': { type: 'boolean', default: false },
    'exit-with-stdin': { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
};

const options = readOptions();
const parts = await loadParts();
await start();

// node:util takes a value that begins with a dash for an option, so '--timezone-offset -300' is joined first.
function readOptions() {
    const args = process.argv.slice(2);
    for (let at = args.length - 1; at > 0; at--) {
        if (/^-\d/.test(args[at]) && args[at - 1].startsWith('--')) {
            args.splice(at - 1, 2, `${args[at - 1]}=${args[at]}`);
        }
    }
    try {
        const { values } = parseArgs({ args, options: OPTIONS });
        if (values.help) {
            process.stdout.write(`usage: server.mjs ${Object.entries(OPTIONS).map(([name, { type }]) => `[--${name}${type === 'string' ? ' V' : ''}]`).join(' ')}\n`);
            process.exit(0);
        }
        return values;
    } catch (error) {
        process.stderr.write(`${error.message}\nhint: see tests/platforms/README.md\n`);
        process.exit(2);
    }
}

async function loadParts() {
    try {
        const [app, admin, auth, shop, dates, faults, log] = await Promise.all(
            ['app', 'admin', 'auth', 'shop', 'dates', 'faults', 'log'].map((name) => import(`./${name}.mjs`)));
        return { ...app, ...admin, ...auth, ...shop, ...dates, ...faults, ...log };
    } catch (error) {
        if (error.code !== 'ERR_MODULE_NOT_FOUND') {
            throw error;
        }
        process.stderr.write(`the simulator's packages are missing: ${error.message}\nhint: npm ci --prefix tests/platforms\n`);
        process.exit(SKIPPED);
    }
}

async function start() {
    const { buildApp, buildAdmin, fillShop, sampleProducts, Clock, Faults, Gate, RateLimit, RequestLog, Shop } = parts;
    const clock = new Clock({ offsetMinutes: Number(options['timezone-offset']), skewMs: Number(options['clock-skew-ms']) });
    const sitePath = options['site-path'].replace(/\/$/, '');
    const shop = new Shop({ clock, url: '' });
    const tls = options['tls-cert'] ? { cert: readFileSync(options['tls-cert']), key: readFileSync(options['tls-key']) } : null;
    const keys = makeKeys();
    const gate = new Gate({ keys, clock, isTls: Boolean(tls), origin: '' });
    const site = {
        shop, gate, tls, sitePath, faults: new Faults(), rate: new RateLimit(Number(options.rate)), log: new RequestLog(options['request-log']),
        delayMs: Number(options['delay-ms']), ordersMoveDates: options['orders-move-dates'],
    };
    const app = buildApp(site);
    const admin = buildAdmin(site);
    const origin = await app.listen({ host: options.host, port: Number(options.port) });
    gate.origin = options['site-url']?.replace(/\/$/, '') ?? origin.replace(/^http:/, tls ? 'https:' : 'http:');
    shop.url = gate.origin + sitePath;
    fillShop(shop, options.fill ? JSON.parse(readFileSync(options.fill, 'utf8')) : sampleProducts(Number(options.products)));
    const adminUrl = await admin.listen({ host: options.host, port: Number(options['admin-port']) });
    const stop = () => Promise.all([app.close(), admin.close()]).finally(() => process.exit(0));

    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    if (options['exit-with-stdin']) {
        process.stdin.on('end', stop).on('error', stop).resume();
    }
    process.stdout.write(`${JSON.stringify({
        url: shop.url, admin: adminUrl, consumer_key: keys[0].key, consumer_secret: keys[0].secret,
        read_key: keys[1].key, read_secret: keys[1].secret, pid: process.pid, products: shop.products.size,
    })}\n`);
}

function makeKeys() {
    const fresh = (prefix) => prefix + randomBytes(20).toString('hex');
    return [
        { key: options.key ?? fresh('ck_'), secret: options.secret ?? fresh('cs_'), permissions: 'read_write' },
        { key: options['read-key'] ?? fresh('ck_'), secret: options['read-secret'] ?? fresh('cs_'), permissions: 'read' },
    ];
}
