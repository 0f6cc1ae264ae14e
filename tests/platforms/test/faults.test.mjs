// Trouble on demand, the request log, and the end of the process.
import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { exchange, startScript, startShop } from './support.mjs';

describe('faults', () => {
    let shop;
    let id;
    let sku = 0;

    before(async () => {
        shop = await startShop(['--products', '3']);
        id = (await shop.get('/products', { query: { sku: 'SKU-00001' } })).json[0].id;
    });
    after(() => shop.stop());
    afterEach(() => shop.person('DELETE', '/faults'));

    const order = (kind, rule = {}) => shop.person('POST', '/faults', { kind, ...rule });
    const create = () => shop.post('/products', { name: 'x', sku: `F-${++sku}` });
    const stored = async () => (await shop.person('GET', `/products?sku=F-${sku}`)).length;

    for (const [kind, status, header] of [
        ['429', 429, '1'], ['429-no-retry-after', 429], ['500', 500], ['502-html', 502], ['503-maintenance-html', 503, '600'], ['html-200', 200],
    ]) {
        test(`${kind} answers ${status} without effect, then all is well`, async () => {
            await order(kind);
            const answer = await create();
            assert.deepEqual([answer.status, answer.headers['retry-after']], [status, header]);
            assert.equal(kind === '429' || kind === '500' ? answer.json !== undefined : answer.json === undefined, true);
            assert.equal(await stored(), 0);
            assert.equal((await create()).status, 201);
        });
    }

    for (const [kind, effect] of [['reset-before', 0], ['reset-after', 1], ['truncated', 1]]) {
        test(`${kind} breaks the connection ${effect ? 'after' : 'before'} the effect`, async () => {
            await order(kind);
            await assert.rejects(create());
            assert.equal(await stored(), effect);
            const { changes } = (await shop.person('GET', '/requests')).at(-1);
            assert.equal(changes.length, effect);
        });
    }

    for (const [kind, effect] of [['timeout-before', 0], ['timeout-after', 1]]) {
        test(`${kind} never answers`, async () => {
            await order(kind);
            const body = { name: 'x', sku: `F-${++sku}` };
            await assert.rejects(exchange('POST', `${shop.url}/wp-json/wc/v3/products`, { body, timeoutMs: 300 }), /timed out/);
            assert.equal(await stored(), 0, 'not signed, so nothing happened');
            await order(kind, { delay_ms: 1 });
            const started = shop.post('/products', body).catch(() => null);
            await waitFor(async () => (await shop.person('GET', '/requests')).filter((entry) => entry.fault === kind).length === 2);
            assert.equal(await stored(), effect);
            void started;
        });
    }

    test('500-after has its effect', async () => {
        await order('500-after');
        assert.equal((await create()).status, 500);
        assert.equal(await stored(), 1);
    });

    test('junk before the JSON', async () => {
        await order('junk-before-json');
        const { status, text, json } = await shop.get('/products');
        assert.equal(status, 200);
        assert.equal(json, undefined);
        assert.match(text, /^<br \/>\n<b>Notice/);
    });

    test('a fault meets only what it aims at, as often as ordered', async () => {
        await order('500', { match: { method: 'PUT', sku: 'SKU-00001' }, times: 2 });
        assert.equal((await shop.get(`/products/${id}`)).status, 200);
        assert.equal((await shop.put(`/products/${id + 1}`, { name: 'x' })).status, 200);
        const seen = [];
        for (let at = 0; at < 3; at++) {
            seen.push((await shop.put(`/products/${id}`, { name: 'x' })).status);
        }
        assert.deepEqual(seen, [500, 500, 200]);
    });

    test('slow answers late', async () => {
        await order('slow', { delay_ms: 120 });
        const started = Date.now();
        assert.equal((await shop.get('/products')).status, 200);
        assert.ok(Date.now() - started >= 115);
    });

    test('an unknown kind is refused with the known ones', async () => {
        assert.match((await order('sunspots')).message, /unknown kind 'sunspots'; known: 429/);
    });

    test('an outage is total and ends', async () => {
        await shop.person('POST', '/outage', { on: true });
        await assert.rejects(shop.get('/products'));
        await shop.person('POST', '/outage', { on: true, mode: '503' });
        assert.equal((await shop.get('/products')).status, 503);
        await shop.person('POST', '/outage', { on: false });
        assert.equal((await shop.get('/products')).status, 200);
    });

    test('a refused product fails alone, in single calls and in a batch', async () => {
        await shop.person('POST', '/reject', { sku: 'BAD-1', code: 'my_rule', message: 'Not in this shop.' });
        const single = await shop.post('/products', { name: 'x', sku: 'BAD-1' });
        assert.deepEqual([single.status, single.json.code], [400, 'my_rule']);
        const { json } = await shop.post('/products/batch', { create: [{ name: 'a', sku: 'GOOD-1' }, { name: 'b', sku: 'BAD-1' }] });
        assert.deepEqual([json.create[0].sku, json.create[1].error.code], ['GOOD-1', 'my_rule']);
        await shop.person('DELETE', '/reject');
        assert.equal((await shop.post('/products', { name: 'x', sku: 'BAD-1' })).status, 201);
    });

    test('the rate limit answers 429 with Retry-After', async () => {
        await shop.person('POST', '/rate', { per_second: 5 });
        const answers = await Promise.all(Array.from({ length: 8 }, () => shop.get('/products')));
        await shop.person('POST', '/rate', { per_second: 0 });
        const throttled = answers.filter(({ status }) => status === 429);
        assert.ok(throttled.length >= 2);
        assert.ok(Number(throttled[0].headers['retry-after']) >= 1);
    });

    test('the log tells what each request changed, without credentials', async () => {
        await shop.person('DELETE', '/requests');
        const { json } = await create();
        await shop.get('/products', { query: { per_page: '1' } });
        const [first, second] = await shop.person('GET', '/requests');
        assert.deepEqual([first.method, first.status, first.auth, first.effect], ['POST', 201, 'oauth', true]);
        assert.deepEqual(first.changes, [{ op: 'create', id: json.id, sku: json.sku }]);
        assert.deepEqual([second.effect, second.query], [false, { per_page: '1' }]);
        const stats = await shop.person('GET', '/stats');
        assert.deepEqual([stats.requests, stats.effects, stats.duplicate_skus], [2, 1, []]);
    });
});

describe('processes', () => {
    test('SIGTERM and a closed stdin end the shop with 0, also with a hanging request', async () => {
        for (const end of ['SIGTERM', 'stdin']) {
            const shop = await startShop();
            await shop.person('POST', '/faults', { kind: 'timeout-before' });
            const hanging = shop.get('/products').catch(() => null);
            await waitFor(async () => (await shop.person('GET', '/requests')).length === 1);
            const exited = new Promise((resolve) => shop.child.once('exit', resolve));
            end === 'SIGTERM' ? shop.child.kill() : shop.child.stdin.end();
            assert.equal(await exited, 0);
            await hanging;
        }
    });

    test('the sink counts by id and fails the first tries', async () => {
        const sink = await startScript('sink.mjs', ['--fail-first', '1']);
        const post = (path, body) => exchange('POST', sink.url + path, { body });
        assert.equal((await post('/x', { id: 'a' })).status, 500);
        assert.equal((await post('/x', { id: 'a' })).status, 200);
        assert.equal((await post('/x', { id: 'a' })).status, 200);
        await post('/b?id=q', {});
        await post('/jobs/17', {});
        const { json } = await exchange('GET', `${sink.url}/count`);
        assert.deepEqual(json, { requests: 5, failed: 3, ids: 1, repeated: 1, most: 2 });
        assert.equal((await exchange('GET', `${sink.url}/count?id=17`)).json.tries, 1);
        await sink.stop();
    });
});

async function waitFor(condition) {
    const deadline = Date.now() + 5000;
    while (!(await condition())) {
        assert.ok(Date.now() < deadline, 'waited 5 s in vain');
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}
