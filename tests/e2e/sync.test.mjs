// The sync engine under real processes: a pool, a simulated shop, an application's database; and the greps of an operator.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { test as nodeTest } from 'node:test';
import { pause, until, withStage } from '../support/stage.mjs';

const SHOP = new URL('../platforms/woocommerce/server.mjs', import.meta.url).pathname;
const skip = !existsSync(new URL('../platforms/node_modules', import.meta.url)) && 'the simulated shop is not installed: npm ci --prefix tests/platforms';
const test = (name, run) => nodeTest(name, { skip }, run);
const PRODUCTS = 30;

const sql = (stage, text) => execFileSync('sqlite3', ['-cmd', '.timeout 5000', stage.path('shop.db')], { input: text, encoding: 'utf8' }).trim();

async function openShop(stage) {
    const child = stage.spawn(process.execPath, [SHOP, '--products', String(PRODUCTS), '--exit-with-stdin'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => {
        text += chunk;
    });
    const shop = JSON.parse(await until('the shop', () => text.includes('\n') && text));
    shop.ask = async (method, path, body) => {
        const answer = await fetch(`${shop.admin}${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
        assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
        return answer.json();
    };
    shop.product = async (sku) => (await shop.ask('GET', `/products?sku=${sku}`))[0];
    return shop;
}

async function fillDatabase(stage, shop) {
    const products = await shop.ask('GET', '/products');
    const value = (text) => (text === null ? 'NULL' : `'${String(text).replaceAll("'", "''")}'`);
    sql(stage, `PRAGMA journal_mode = WAL;
CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT, price TEXT, inventory INTEGER, description TEXT);
${products.map((p, at) => `INSERT INTO products VALUES (${at + 1}, ${[p.sku, p.name, p.regular_price, p.stock_quantity, p.description].map(value).join(', ')});`).join('\n')}
INSERT INTO products VALUES (${PRODUCTS + 1}, 'NEW', 'new one', '5', 3, 'made here');`);
    return products;
}

const config = (stage, shop) => `runners: 2
store: sqlite:${stage.path('shop.db')}
platform_timeout: 1s
queues: {default: {backoff: {base: 200ms, cap: 1s}}}
accounts: {shop: {platform: woocommerce, url: "${shop.url}", consumer_key: ${shop.consumer_key}, consumer_secret: ${shop.consumer_secret}}}
syncs:
  products:
    account: shop
    entity: product
    table: products
    id: id
    mode: realtime
    every: 1s
    scan: 1s
    match: sku
    fields:
      sku: {}
      name: {check: "not empty"}
      price: {remote: regular_price, type: money, owner: local, check: ">= 0"}
      inventory: {remote: stock_quantity, type: integer, owner: remote}
      description: {type: html}
`;

// A pool that keeps a shop and a database in step, started and settled.
async function inStep(stage) {
    const shop = await openShop(stage);
    await fillDatabase(stage, shop);
    writeFileSync(stage.path('install.yaml'), config(stage, shop));
    const installed = stage.cli(['store', 'install', '--config', stage.path('install.yaml')]);
    assert.equal(installed.status, 0, installed.err);
    const pool = await stage.pool(config(stage, shop));
    const cli = (...args) => stage.cli([...args, '--config', pool.config]);
    const started = cli('sync', 'start', 'products', '--wait', '--quiet');
    assert.equal(started.status, 0, started.err);
    await until('the new product in the shop', () => shop.product('NEW'));
    await settled(stage);
    return { shop, pool, cli };
}

const settled = (stage) => until('no marks', () => sql(stage, 'SELECT count(*) FROM lockstep_dirty') === '0');

// Nothing reaches the shop through its API while body runs.
async function withShopClosed(shop, body) {
    await shop.ask('POST', '/outage', { on: true });
    await body();
    await shop.ask('POST', '/outage', { on: false });
}

const grep = (pool, ...args) => execFileSync('grep', [...args, pool.logFile], { encoding: 'utf8' }).trim().split('\n');

test('what people grep for stands in the log, in these words', withStage(async (stage) => {
    const { shop, pool } = await inStep(stage);
    const third = await shop.product(sql(stage, 'SELECT sku FROM products WHERE id = 3'));

    await withShopClosed(shop, async () => {
        await shop.ask('PUT', `/products/${third.id}`, { name: 'theirs' });
        sql(stage, "UPDATE products SET name = 'ours' WHERE id = 3");
    });
    await pool.logged('conflict detected: Product 3 updated in both systems');
    sql(stage, 'UPDATE products SET price = -5 WHERE id = 7');
    await pool.logged('Validation failed: Invalid price for product 7');
    await shop.ask('POST', '/faults', { kind: 'timeout-before', match: { method: 'PUT' }, times: 1 });
    sql(stage, "UPDATE products SET price = '77' WHERE id = 9");
    await pool.logged(/Product sync failed: API timeout after 1(\.0)?s/);
    await until('the price after the timeout', async () => Number((await shop.product(sql(stage, 'SELECT sku FROM products WHERE id = 9'))).regular_price) === 77);
    assert.ok(grep(pool, 'sync failed').length >= 1);
    assert.match(grep(pool, 'conflict detected')[0], /\[WARN\]/);
    assert.ok(grep(pool, 'timeout').length >= 1);
    assert.match(grep(pool, '-E', 'Batch sync completed: [0-9]+ records in [0-9.]+s')[0], /\[INFO\]/);
    assert.equal(sql(stage, 'SELECT sync_status FROM lockstep_status_products WHERE id = 7'), 'parked');
    assert.equal(sql(stage, 'SELECT name FROM products WHERE id = 3'), 'ours');
    assert.equal((await shop.product(third.sku)).name, 'theirs');
}));

test('edits on both sides meet; status, explain and verify say how it stands', withStage(async (stage) => {
    const { shop, cli } = await inStep(stage);
    const first = await shop.product(sql(stage, 'SELECT sku FROM products WHERE id = 1'));

    await withShopClosed(shop, async () => {
        await shop.ask('PUT', `/products/${first.id}`, { name: 'renamed there' });
        await shop.ask('PUT', `/products/${first.id}/stock`, { quantity: 4242 });
        sql(stage, "UPDATE products SET price = '9.90', description = 'described here' WHERE id = 1");
    });
    await until('both edits here', () => sql(stage, 'SELECT name, inventory FROM products WHERE id = 1') === 'renamed there|4242');
    await until('both edits there', async () => {
        const { regular_price: price, description } = await shop.product(first.sku);
        return price === '9.9' && description === 'described here';
    });
    await settled(stage);
    const clean = cli('verify', '--settle', '1s', '--json');
    assert.equal(clean.status, 0, clean.out + clean.err);
    assert.equal(JSON.parse(clean.out).syncs[0].match, PRODUCTS + 1);
    const status = JSON.parse(cli('sync', 'status', 'products', '--json').out);
    assert.equal(status.state, 'active');
    assert.equal(status.linked, PRODUCTS + 1);
    assert.equal(status.conflicts, 0);
    const explained = JSON.parse(cli('explain', '1', '--json').out);
    assert.equal(explained.row, 7);
    assert.equal(explained.remote_id, String(first.id));
    assert.equal(JSON.parse(cli('explain', '--table', '--json').out).length, 23);
    const runs = JSON.parse(cli('sync', 'history', 'products', '--json').out);
    assert.ok(runs.some(({ kind }) => kind === 'backfill'));
}));

test('a stopped sync writes nothing and remembers everything', withStage(async (stage) => {
    const { shop, cli } = await inStep(stage);
    const sku = sql(stage, 'SELECT sku FROM products WHERE id = 2');
    const before = (await shop.product(sku)).regular_price;

    assert.equal(cli('sync', 'stop', 'products').status, 0);
    sql(stage, "UPDATE products SET price = '123' WHERE id = 2");
    await pause(2500); // more than two ticks of everything
    assert.equal((await shop.product(sku)).regular_price, before);
    const plan = cli('sync', 'start', 'products');
    assert.equal(plan.status, 0, plan.err);
    assert.match(plan.out, /writes to the platform {2}0 new, 1 changed/);
    await until('the price', async () => (await shop.product(sku)).regular_price === '123');
}));
