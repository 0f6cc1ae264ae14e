#!/usr/bin/env node
// ./dev demo: the main job from end to end, in about a minute, and then a check of every field of every product on both sides that does
// not ask lockstep. Exit 0 only if nothing was lost and nothing was doubled.
import { mkdtempSync, readFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { tmpdir } from 'node:os';
import * as term from './term.mjs';
import { childrenOf, demandRunning, killGroup, run, startHelper, startPool, stopChild, waitFor } from './processes.mjs';
import {
    FIELDS, IN_STORE, PRODUCTS, START, asRemote, editRows, fromRemote, makeDatabase, makeWorld, money, readRows, runSql, sameValue, stockStore,
} from './world.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ACCOUNT = 'demo-shop';
const SYNC = 'products';
const STORE_RATE = 500;
const SETTLE_MS = 30_000;
const SKIPPED = 77; // the simulator's packages are not installed
const LINK_MS = 60_000;
const OUTAGE_MS = 4_000;
const FIELDS_SHOWN = 'id,sku,name,regular_price,stock_quantity,description,status';

const { values: options } = parseArgs({
    options: { build: { type: 'string', default: 'build' }, keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
});

const demo = {
    lockstep: resolve(options.build, 'bin/lockstep'),
    folder: '',
    products: makeWorld(),
    remoteIds: new Map(),
    summary: [],
    problems: [],
    conflict: null,
    refused: null,
    store: null,
    alerts: null,
    pool: null,
};

function usage() {
    process.stdout.write('usage: ./dev demo [--keep]\n\nWith --keep everything stays up at the end, and the last lines say what to try.\n');
    return 0;
}

async function main() {
    const startedAt = performance.now();
    let failure = null;

    demo.folder = mkdtempSync(join(tmpdir(), 'lockstep-demo-'));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
        process.once(signal, () => abort(signal));
    }
    try {
        await play();
    } catch (error) {
        failure = error;
    }
    if (failure?.code === SKIPPED) {
        await cleanUp(true);
        term.line(failure.message);
        return SKIPPED;
    }
    if (failure) {
        term.line('');
        term.fail(failure.message);
        demo.problems.push(failure.message);
        if (process.env.LOCKSTEP_DEMO_STACK) {
            term.note(failure.stack);
        }
    }
    const good = demo.problems.length === 0;
    if (good && options.keep) {
        leaveUp();
        return 0;
    }
    await cleanUp(good);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    term.line('');
    term.line(good ? `${term.green('✓')} ${term.bold('nothing lost, nothing doubled')} ${term.dim(`(${seconds} s)`)}`
        : `${term.red('✗')} ${term.bold('the demo failed')} ${term.dim(`(${seconds} s)`)}; logs and database: ${demo.folder}`);
    return good ? 0 : 1;
}

async function play() {
    term.line(term.bold('lockstep demo') + term.dim('   a database, a WooCommerce store, and a pool of workers that keeps them in step'));
    await makeShop();
    await startEverything();
    await observe();
    await startSync();
    await localPrices();
    await remoteEdits();
    await bothSides();
    await trueConflict();
    await outage();
    await refusedProduct();
    await killedRunner();
    await verify();
    await checkIndependently();
    showSummary();
}

// ---- the acts, in order -----------------------------------------------------------------------------------------------------------

async function makeShop() {
    term.step('A shop');
    let startedAt = performance.now();
    const fill = stockStore(demo.products);
    const rowsBefore = demo.products.map((product, at) => (at < IN_STORE && at >= START.prices && at < START.prices + START.stocks ? { ...product, inventory: product.inventory - 500 } : product));
    makeDatabase(databasePath(), rowsBefore);
    term.done(`shop.db: table products with ${term.count(PRODUCTS)} rows`, startedAt);

    startedAt = performance.now();
    writeFileSync(join(demo.folder, 'fill.json'), JSON.stringify(fill));
    const helper = { keep: options.keep, folder: demo.folder };
    const ending = options.keep ? [] : ['--exit-with-stdin'];
    demo.store = await startHelper(join(HERE, '../platforms/woocommerce/server.mjs'),
        ['--fill', join(demo.folder, 'fill.json'), '--rate', String(STORE_RATE), ...ending], { ...helper, name: 'store' });
    demo.alerts = await startHelper(join(HERE, 'alerts.mjs'), [join(demo.folder, 'alerts.jsonl'), options.keep ? '--stay' : ''], { ...helper, name: 'alerts' });
    term.done(`a WooCommerce store (simulated) with ${term.count(IN_STORE)} of them, ${STORE_RATE} requests/s`, startedAt);
    term.note(`there, ${START.prices} prices and ${START.stocks} stocks differ from the database`);
    term.note('who owns what: price the database, stock the store, name and description both');
}

async function startEverything() {
    term.step('The pool');
    writeConfig();
    lockstep(['config', 'check']);
    lockstep(['store', 'install'], { quote: 3 });
    const startedAt = performance.now();
    term.command('lockstep up');
    demo.pool = startPool(demo.lockstep, configPath(), { keep: options.keep, folder: demo.folder });
    const runners = await waitFor('two runners and their Redis', SETTLE_MS, () => {
        demandRunning(demo.pool, 'up', demo.folder);
        const found = runnerPids();
        return found.length >= 2 && call(['queue', 'list']).status === 0 ? found : null;
    });
    const address = await waitFor('the address of the admin server', 5000, adminAddress);
    term.done(`master ${demo.pool.pid}, Redis, runners ${runners.join(' and ')}, scheduler, relay, admin`, startedAt);
    term.note(`metrics: http://${address}/metrics`);
    demand((await fetch(`http://${address}/healthz`)).ok, 'the pool does not say that it is healthy');
}

// A new sync links and compares; it may not write on either side.
async function observe() {
    term.step('It observes first');
    const startedAt = performance.now();
    const wanted = IN_STORE - START.prices - START.stocks;
    const bar = term.progressBar('linking');
    const linked = await waitFor('the observing sync to link what is equal', LINK_MS, () => {
        const { linked: now = 0 } = syncStatus();
        bar.show(now, wanted);
        return now >= wanted ? now : null;
    }, 200);
    bar.end();
    const { effects } = await store('GET', '/stats');
    demand(effects === 0, `the observing sync wrote ${effects} times to the store`);
    term.done(`${term.count(linked)} products linked by SKU, nothing written on either side`, startedAt);
}

async function startSync() {
    term.step('It starts');
    lockstep(['sync', 'start', SYNC], { quote: 6 });
    const startedAt = performance.now();
    const bar = term.progressBar('backfill');
    await waitFor('the backfill', LINK_MS, () => {
        const synced = statusCount('synced');
        bar.show(synced, PRODUCTS);
        return synced >= PRODUCTS;
    }, 200);
    await learnRemoteIds();
    await settle(demo.products);
    bar.end();
    const changes = await apiChanges();
    term.done(`${START.creates} products created, ${START.prices} prices sent, ${START.stocks} stocks fetched; ${changes.updates} updates in the store`, startedAt);
    demo.summary.push(['link and backfill', `${term.count(PRODUCTS)} products`, `${changes.creates} creates, ${changes.updates} updates`, seconds(startedAt)]);
}

async function localPrices() {
    term.step('The application changes prices in its own table');
    const edits = pickProducts(100, 40).map((product, at) => change(product, { price: money(1999 + at * 10) }));
    await act('local price edits', `${edits.length} prices`, () => editRows(databasePath(), edits), edits, { writes: edits.length });
}

async function remoteEdits() {
    term.step('In the store, goods are sold and somebody renames products');
    const sold = pickProducts(300, 30).map((product) => change(product, { inventory: product.inventory + 7 }));
    const renamed = pickProducts(400, 15).map((product) => change(product, { name: `${product.name}, new edition` }));
    await act('store: stock and names', `${sold.length} stocks, ${renamed.length} names`, async () => {
        for (const { product, fields } of sold) {
            await store('PUT', `/products/${demo.remoteIds.get(product.sku)}/stock`, { quantity: fields.inventory });
        }
        for (const { product, fields } of renamed) {
            await store('PUT', `/products/${demo.remoteIds.get(product.sku)}`, asRemote(fields));
        }
    }, [...sold, ...renamed], { writes: 0 });
    term.note('a sale does not move the store\'s modification date; the stock scan finds it');
}

async function bothSides() {
    term.step('Both sides change the same products, in different fields');
    const products = pickProducts(500, 20);
    const here = products.map((product) => change(product, { description: `<p>Described anew: ${product.sku}.</p>`, price: money(4200) }));
    const there = products.map((product) => change(product, { name: `${product.name} (2nd)`, inventory: product.inventory + 3 }));
    await act('both sides, different fields', `${products.length} products`, async () => {
        await holdStore(async () => {
            for (const { product, fields } of there) {
                await store('PUT', `/products/${demo.remoteIds.get(product.sku)}`, asRemote(fields));
            }
            editRows(databasePath(), here);
        });
    }, [...here, ...there], {});
}

async function trueConflict() {
    term.step('One product is renamed on both sides');
    const startedAt = performance.now();
    const [product] = pickProducts(600, 1);
    const names = { local: 'Name from the database', remote: 'Name from the store' };
    await holdStore(async () => {
        await store('PUT', `/products/${demo.remoteIds.get(product.sku)}`, { name: names.remote });
        editRows(databasePath(), [{ product, fields: { name: names.local } }]);
    });
    demo.conflict = { product, names };
    const { conflicts } = await waitFor('the conflict to be detected', SETTLE_MS, () => {
        const status = syncStatus();
        return status.conflicts > 0 ? status : null;
    }, 200);
    const line = await waitFor('the conflict in the log', 5000, () => logLines().find((text) => text.includes('conflict detected')));
    demand(conflicts === 1, `${conflicts} conflicts instead of one`);
    const row = readRows(databasePath())[product.id - 1];
    const remote = await remoteProduct(product);
    demand(row.name === names.local && remote.name === names.remote, `the conflict of ${product.sku} was decided silently: '${row.name}' and '${remote.name}'`);
    term.done('named, both values kept, nothing overwritten', startedAt);
    term.quote(line, 1);
    demo.summary.push(['true conflict', '1 name', 'listed, both kept', seconds(startedAt)]);
}

async function outage() {
    term.step(`The store is down for ${OUTAGE_MS / 1000} seconds while the application goes on`);
    const edits = pickProducts(700, 50).map((product, at) => change(product, { price: money(3000 + at) }));
    await act('store outage', `${edits.length} prices meanwhile`, async () => {
        await store('POST', '/outage', { on: true });
        editRows(databasePath(), edits);
        await pause(OUTAGE_MS);
        const { by_fault: faults } = await store('GET', '/stats');
        term.note(`${faults['outage-reset'] ?? 0} requests failed; the jobs wait and are tried again`);
        await store('POST', '/outage', { on: false });
    }, edits, { writes: edits.length });
    term.note(`'sync failed' stands ${logLines().filter((text) => text.includes('sync failed')).length} times in the log; the dead list is empty`);
    demand(deadLetters().length === 0, 'an outage of some seconds left dead letters');
}

async function refusedProduct() {
    term.step('The store refuses one product');
    const startedAt = performance.now();
    const [product] = pickProducts(800, 1);
    await store('POST', '/reject', { sku: product.sku, code: 'woocommerce_rest_product_refused', message: 'This product may not be sold online.' });
    demo.refused = { product, priceThere: product.price };
    const edit = change(product, { price: money(777) });
    editRows(databasePath(), [edit]);
    const dead = await waitFor('the dead letter', SETTLE_MS, () => (deadLetters().length > 0 ? deadLetters() : null), 200);
    demand(dead.length === 1, `${dead.length} dead letters instead of one`);
    const alert = await waitFor('the alert', SETTLE_MS, () => readAlerts().find(({ type }) => type === 'sync_retry_exhausted'), 200);
    term.done('one dead letter, and one alert at the webhook', startedAt);
    term.note(`${alert.severity} ${alert.type}: ${alert.details}`);
    lockstep(['dead', 'list'], { quote: 4 });
    demo.summary.push(['refused by the store', '1 price', 'dead letter, alert', seconds(startedAt)]);
}

async function killedRunner() {
    term.step('A runner is killed in the middle of its work');
    const edits = pickProducts(900, 400).map((product, at) => change(product, { price: money(6000 + at) }));
    const before = (await apiChanges()).updates;
    await act('runner killed (SIGKILL)', `${edits.length} prices`, async () => {
        editRows(databasePath(), edits);
        const done = await waitFor('a quarter of the writes', SETTLE_MS, async () => {
            const now = (await apiChanges()).updates - before;
            return now >= edits.length / 4 ? now : null;
        }, 5);
        const [victim] = runnerPids();
        process.kill(victim, 'SIGKILL');
        term.note(`kill -9 ${victim} after ${done} of ${edits.length} writes`);
        await waitFor('another runner in its place', SETTLE_MS, () => runnerPids().length >= 2 && !runnerPids().includes(victim));
    }, edits, { atLeast: edits.length });
}

async function verify() {
    term.step('Verify');
    const { out, err, status } = lockstep(['verify', '--settle', '2s'], { any: true, quote: 14 });
    const report = call(['verify', '--settle', '2s', '--json']);
    const named = [demo.conflict.product, demo.refused.product];
    const text = out + err;
    demand([16, 18].includes(status), `verify ended with ${status}`);
    demand(report.status === status, `verify ended with ${status}, then with ${report.status}`);
    checkDifferences(report.out, named, text);
}

// Everything that verify names must be one of the two products that are meant to be named, and both must be.
function checkDifferences(json, named) {
    const found = new Set();
    for (const difference of findDifferences(JSON.parse(json))) {
        const product = named.find(({ id, sku }) => String(difference.local_id) === String(id) || difference.remote_id === String(demo.remoteIds.get(sku)));
        demand(product, `verify names a product that nobody broke: ${JSON.stringify(difference)}`);
        found.add(product);
    }
    demand(found.size === named.length, `verify names ${found.size} of the ${named.length} products that are meant to differ`);
    term.done('clean but for the named conflict and the refused product');
}

// ---- the independent check ----------------------------------------------------------------------------------------------------------

async function checkIndependently() {
    term.step('And without lockstep: every field of every product, on both sides');
    const startedAt = performance.now();
    const rows = new Map(readRows(databasePath()).map((row) => [row.sku, row]));
    const shown = (await store('GET', `/products?fields=${FIELDS_SHOWN}`)).map(fromRemote);
    const bySku = new Map(shown.map((product) => [product.sku, product]));
    const stats = await store('GET', '/stats');
    const creates = (await store('GET', '/journal?op=create&by=api')).map(({ sku }) => sku);
    let compared = 0;

    demand(rows.size === PRODUCTS, `the database has ${rows.size} products`);
    demand(shown.length === PRODUCTS && bySku.size === PRODUCTS, `the store has ${shown.length} products with ${bySku.size} SKUs`);
    demand(stats.duplicate_skus.length === 0, `SKUs stand twice in the store: ${stats.duplicate_skus.join(', ')}`);
    demand(creates.length === START.creates && new Set(creates).size === creates.length, `${creates.length} creates of ${new Set(creates).size} products instead of ${START.creates}`);
    for (const product of demo.products) {
        for (const field of FIELDS) {
            const [here, there] = expectedValues(product, field);
            compare('database', product, field, rows.get(product.sku)?.[field], here);
            compare('store', product, field, bySku.get(product.sku)?.[field], there);
            compared += 2;
        }
    }
    demand(!shown.some(({ status }) => status !== 'publish'), 'a product in the store is no longer published');
    if (demo.problems.length === 0) {
        term.done(`${term.count(compared)} values as they must be; ${creates.length} creates, no SKU twice`, startedAt);
    }
}

function expectedValues(product, field) {
    if (field === 'name' && product === demo.conflict.product) {
        return [demo.conflict.names.local, demo.conflict.names.remote];
    }
    if (field === 'price' && product === demo.refused.product) {
        return [product.price, demo.refused.priceThere];
    }
    return [product[field], product[field]];
}

function compare(side, product, field, value, expected) {
    demand(value !== undefined && sameValue(field, value, expected), `${product.sku}, ${field} in the ${side}: '${value}' instead of '${expected}'`);
}

function showSummary() {
    const alerts = new Map();
    for (const { type, status } of readAlerts()) {
        const name = status && status !== 'firing' ? `${type} (${status})` : type;
        alerts.set(name, (alerts.get(name) ?? 0) + 1);
    }
    term.step('What happened');
    term.table([['event', 'what', 'result', 'until both sides agreed'], ...demo.summary]);
    term.note(`alerts: ${[...alerts].map(([name, times]) => `${times} ${name}`).join(', ')}`);
}

// ---- tools of the acts ----------------------------------------------------------------------------------------------------------------

// One act: cause it, wait until both sides hold what the book says, count what was written to the store.
async function act(name, what, cause, edits, { writes, atLeast }) {
    const before = (await apiChanges()).updates;
    const startedAt = performance.now();
    await cause();
    await settle(edits.map(({ product }) => product));
    const made = (await apiChanges()).updates - before;
    demand(writes === undefined || made === writes, `${name}: ${made} writes to the store instead of ${writes}`);
    demand(atLeast === undefined || made >= atLeast, `${name}: only ${made} writes to the store instead of ${atLeast}`);
    term.done(`${what}: both sides agree; ${made} writes to the store`, startedAt);
    demo.summary.push([name, what, `${made} writes`, seconds(startedAt)]);
}

// Waits until the given products are on both sides what the book says, or names the first that is not.
async function settle(products) {
    const wanted = [...new Set(products)];
    const ids = wanted.map(({ sku }) => demo.remoteIds.get(sku)).join(',');
    let wrong = null;
    const agree = async () => {
        demandRunning(demo.pool, 'up', demo.folder);
        const rows = readRows(databasePath());
        const remote = new Map((await store('GET', `/products?fields=${FIELDS_SHOWN}&ids=${ids}`)).map((product) => [product.sku, fromRemote(product)]));
        wrong = findWrong(wanted, rows, remote);
        return wrong === null;
    };
    await waitFor('both sides to agree', SETTLE_MS, agree, 150).catch((error) => { throw new Error(`${error.message}: ${wrong}`); });
}

function findWrong(wanted, rows, remote) {
    for (const product of wanted) {
        for (const field of FIELDS) {
            const values = [rows[product.id - 1][field], remote.get(product.sku)?.[field]];
            if (!values.every((value) => sameValue(field, value, product[field]))) {
                return `${product.sku}, ${field}: '${values[0]}' in the database, '${values[1]}' in the store, '${product[field]}' expected`;
            }
        }
    }
    return null;
}

// Writes a change into the book; who carries it out is the caller's business.
function change(product, fields) {
    Object.assign(product, fields);
    return { product, fields };
}

const pickProducts = (from, howMany) => demo.products.slice(from, from + howMany);

// While held, nothing that the store reads for a caller reaches it in less than the delay: two edits inside are simultaneous.
async function holdStore(edits) {
    await store('POST', '/delay', { ms: 600 });
    await edits();
    await store('POST', '/delay', { ms: 0 });
}

async function learnRemoteIds() {
    for (const { id, sku } of await store('GET', '/products?fields=id,sku')) {
        demo.remoteIds.set(sku, id);
    }
}

const remoteProduct = async ({ sku }) => (await store('GET', `/products?ids=${demo.remoteIds.get(sku)}&fields=${FIELDS_SHOWN}`)).map(fromRemote)[0];

async function apiChanges() {
    const { changes } = await store('GET', '/stats');
    return { creates: changes['api.create'] ?? 0, updates: changes['api.update'] ?? 0 };
}

async function store(method, path, body) {
    const answer = await fetch(demo.store.admin + path, {
        method, body: body && JSON.stringify(body), headers: body && { 'content-type': 'application/json' }, signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) {
        throw new Error(`the simulated store: ${method} ${path}: ${answer.status} ${await answer.text()}`);
    }
    return answer.json();
}

function demand(condition, problem) {
    if (!condition && demo.problems.length < 20) {
        term.fail(problem);
        demo.problems.push(problem);
    }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const seconds = (startedAt) => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;

// ---- lockstep, as a user sees it --------------------------------------------------------------------------------------------------------

const configPath = () => join(demo.folder, 'lockstep.yaml');
const databasePath = () => join(demo.folder, 'shop.db');
const logPath = () => join(demo.folder, 'sync.log');

function writeConfig() {
    const { folder } = demo;
    writeFileSync(join(folder, 'consumer_key'), demo.store.consumer_key, { mode: 0o600 });
    writeFileSync(join(folder, 'consumer_secret'), demo.store.consumer_secret, { mode: 0o600 });
    writeFileSync(configPath(), `# made by ./dev demo
state_dir: ${folder}/state
redis: embedded
store: sqlite:${databasePath()}
runners: 2
log: file:${logPath()}
queues:
  default: {concurrency: 32, max_age: 10m, backoff: {type: exponential, base: 500ms, factor: 2, cap: 4s}}
accounts:
  ${ACCOUNT}:
    platform: woocommerce
    url: ${demo.store.url}
    consumer_key: \${file:${folder}/consumer_key}
    consumer_secret: \${file:${folder}/consumer_secret}
    rate: 450/s
    burst: 40
syncs:
  ${SYNC}:
    account: ${ACCOUNT}
    entity: product
    table: products
    id: id
    mode: hybrid
    every: 2s     # 5m is the default; a demo is in a hurry
    scan: 3s      # what deltas cannot see: stock
    policy: fields
    match: sku
    fields:
      sku:         {remote: sku, owner: local}
      name:        {remote: name, owner: merge, check: "not empty"}
      price:       {remote: regular_price, type: money, owner: local, check: ">= 0", critical: true}
      inventory:   {remote: stock_quantity, type: integer, owner: remote}
      description: {remote: description, type: html, owner: merge}
alerts:
  - {to: "${demo.alerts.url}"}
alert_rules: {tick: 1s}
admin: {listen: "127.0.0.1:0"}
`);
}

const call = (args) => run(demo.lockstep, [...args, '--config', configPath()]);

// Shows the command and what it printed; fails the demo unless it ended with 0 or `any` is set.
function lockstep(args, { quote = 0, any = false } = {}) {
    term.command(`lockstep ${args.join(' ')}`);
    const result = call(args);
    if (result.status !== 0 && !any) {
        throw new Error(`'lockstep ${args.join(' ')}' ended with ${result.status}: ${(result.err || result.out).trim()}`);
    }
    if (quote > 0) {
        term.quote(result.out || result.err, quote);
    }
    return result;
}

// A listing with --json is an array of rows, or an object that holds one.
function parseRows(text) {
    const value = JSON.parse(text);
    return Array.isArray(value) ? value : Object.values(value).find(Array.isArray) ?? [];
}

function findDifferences(report) {
    return Array.isArray(report) ? report : report.differences ?? [];
}

function deadLetters() {
    const { status, out } = call(['dead', 'list', '--json']);
    return status === 0 ? parseRows(out) : [];
}

function syncStatus() {
    const { status, out } = call(['sync', 'status', SYNC, '--json']);
    if (status !== 0) {
        return {};
    }
    const value = JSON.parse(out);
    return (Array.isArray(value) ? value[0] : value) ?? {};
}

function statusCount(status) {
    return Number(runSql(databasePath(), `SELECT count(*) FROM lockstep_status_products WHERE sync_status = '${status}';`, ['-readonly']));
}

const runnerPids = () => childrenOf(demo.pool.pid).filter(({ comm, cmdline }) => /runner/.test(comm) || /runner/.test(cmdline)).map(({ pid }) => pid);

const logLines = () => (existsSync(logPath()) ? readFileSync(logPath(), 'utf8').split('\n') : []);

const adminAddress = () => logLines().map((text) => /admin\.listening: http:\/\/([\d.]+:\d+)/.exec(text)?.[1]).find(Boolean);

function readAlerts() {
    const file = join(demo.folder, 'alerts.jsonl');
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).map((text) => JSON.parse(text)) : [];
}

// ---- the end ------------------------------------------------------------------------------------------------------------------------------

async function cleanUp(good) {
    if (demo.pool) {
        const how = await stopChild(demo.pool);
        demand(how === 0 || !good, `the pool ended with ${how}`);
    }
    for (const helper of [demo.store, demo.alerts]) {
        if (helper) {
            await stopChild(helper.child);
        }
    }
    if (good && demo.problems.length === 0) {
        rmSync(demo.folder, { recursive: true, force: true });
    }
}

function abort(signal) {
    for (const child of [demo.pool, demo.store?.child, demo.alerts?.child].filter(Boolean)) {
        child.kill('SIGTERM');
    }
    setTimeout(() => {
        demo.pool && killGroup(demo.pool);
        process.exit(1);
    }, 10_000).unref();
    const leave = () => {
        rmSync(demo.folder, { recursive: true, force: true });
        process.exit(1);
    };
    demo.pool ? demo.pool.once('exit', leave) : leave();
    term.line(`\n${signal}: stopping`);
}

function leaveUp() {
    const pids = [demo.pool, demo.store.child, demo.alerts.child].map(({ pid }) => pid);
    const redis = (readFileSync(join(demo.folder, 'up.log'), 'utf8').match(/redis-cli .*/) ?? ['lockstep redis-cli'])[0];
    term.step('It stays up');
    for (const [name, value] of [
        ['PATH', `export PATH=${resolve(options.build, 'bin')}:$PATH`], ['config', `export LOCKSTEP_CONFIG=${configPath()}`],
        ['metrics', `http://${adminAddress()}/metrics`], ['redis', redis], ['log', logPath()], ['alerts', join(demo.folder, 'alerts.jsonl')],
    ]) {
        term.line(`    ${name.padEnd(8)}${value}`);
    }
    term.line('\n    try:');
    for (const text of [
        `sqlite3 ${databasePath()} "UPDATE products SET price='1.23' WHERE id=7"`, 'lockstep sync status products', `lockstep explain ${demo.conflict.product.id}`,
        'lockstep dead list', 'lockstep doctor',
    ]) {
        term.line(`      ${text}`);
    }
    term.line(`\n    stop it: kill ${pids.join(' ')}; rm -r ${demo.folder}`);
    for (const child of [demo.pool, demo.store.child, demo.alerts.child]) {
        child.unref();
    }
}

process.exitCode = options.help ? usage() : await main();
