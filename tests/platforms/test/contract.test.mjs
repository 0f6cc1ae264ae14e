// The traps of the platform's contract, one by one.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { exchange, nextSecond, startShop, startTlsShop } from './support.mjs';

let shop;
let number = 0;

before(async () => { shop = await startShop(['--timezone-offset', '-300']); });
after(() => shop.stop());

async function makeProduct(fields = {}) {
    const { status, json, text } = await shop.post('/products', { name: `Thing ${++number}`, sku: `T-${number}`, regular_price: '10.00', ...fields });
    assert.equal(status, 201, text);
    return json;
}

describe('who is asking', () => {
    test('nobody: 401 with the code of the act', async () => {
        for (const [method, path, code] of [['GET', '/products', 'view'], ['POST', '/products', 'create'], ['POST', '/products/batch', 'batch']]) {
            const { status, json } = await shop.call(method, path, { auth: false });
            assert.deepEqual([status, json.code], [401, `woocommerce_rest_cannot_${code}`]);
        }
    });

    test('Basic and query keys do not count over plain http', async () => {
        const basic = Buffer.from(`${shop.consumer_key}:${shop.consumer_secret}`).toString('base64');
        const byHeader = await shop.call('GET', '/products', { auth: false, headers: { authorization: `Basic ${basic}` } });
        const byQuery = await shop.call('GET', '/products', { auth: false, query: { consumer_key: shop.consumer_key, consumer_secret: shop.consumer_secret } });
        assert.deepEqual([byHeader.status, byHeader.json.code], [401, 'woocommerce_rest_cannot_view']);
        assert.deepEqual([byQuery.status, byQuery.json.code], [401, 'woocommerce_rest_cannot_view']);
    });

    for (const [name, options, message] of [
        ['a signature of something else', { auth: { oauth_signature: 'AAAA' } }, /signature does not match/],
        ['a wrong secret', { secret: 'cs_wrong' }, /signature does not match/],
        ['an unknown key', { key: 'ck_nobody' }, /Consumer key is invalid/],
        ['an old timestamp', { auth: { oauth_timestamp: String(Math.floor(Date.now() / 1000) - 16 * 60) } }, /Invalid timestamp/],
        ['a method nobody knows', { auth: { oauth_signature_method: 'PLAINTEXT' } }, /signature method is invalid/],
    ]) {
        test(`${name} is refused`, async () => {
            const { status, json } = await shop.get('/products', options);
            assert.deepEqual([status, json.code], [401, 'woocommerce_rest_authentication_error']);
            assert.match(json.message, message);
        });
    }

    test('HMAC-SHA1 is as good as SHA256, and query parameters are part of what is signed', async () => {
        const { status } = await shop.get('/products', { auth: { oauth_signature_method: 'HMAC-SHA1' }, query: { search: 'a b&c', per_page: '5' } });
        assert.equal(status, 200);
    });

    test('a nonce works once', async () => {
        const auth = { oauth_nonce: 'once-only' };
        assert.equal((await shop.get('/products', { auth })).status, 200);
        const { status, json } = await shop.get('/products', { auth });
        assert.equal(status, 401);
        assert.match(json.message, /nonce has already been used/);
    });

    test('a read-only key reads, and its writes are 401', async () => {
        const options = { key: shop.read_key, secret: shop.read_secret };
        assert.equal((await shop.get('/products', options)).status, 200);
        const { status, json } = await shop.call('POST', '/products', { ...options, body: { name: 'x' } });
        assert.deepEqual([status, json.code], [401, 'woocommerce_rest_authentication_error']);
    });

    test('over TLS: an unknown key is nobody, a wrong secret is an error', async () => {
        const safe = await startTlsShop(['--products', '1']);
        try {
            const unknown = await safe.get('/products', { key: 'ck_nobody' });
            const wrong = await safe.get('/products', { secret: 'cs_wrong' });
            assert.deepEqual([unknown.status, unknown.json.code], [401, 'woocommerce_rest_cannot_view']);
            assert.deepEqual([wrong.status, wrong.json.code], [401, 'woocommerce_rest_authentication_error']);
        } finally {
            await safe.stop();
        }
    });
});

describe('discovery and shape', () => {
    test('the root names the namespaces and the zone', async () => {
        const { json } = await shop.get('/', { auth: false });
        assert.ok(json.namespaces.includes('wc/v3'));
        assert.equal(json.gmt_offset, -5);
        assert.deepEqual(json.authentication, []);
    });

    test('an unknown route is rest_no_route', async () => {
        const { status, json } = await shop.get('/nothing');
        assert.deepEqual([status, json.code, json.data.status], [404, 'rest_no_route', 404]);
    });

    test('slashes and letters outside ASCII are escaped', async () => {
        const { id } = await makeProduct({ description: 'a/b ü €' });
        const { text, json } = await shop.get(`/products/${id}`);
        assert.ok(text.includes('a\\/b \\u00fc \\u20ac'));
        assert.equal(json.description, 'a/b ü €');
    });

    test('the route may come in the query', async () => {
        const { json } = await exchange('GET', `${shop.url}/?rest_route=/wc/v3/products`);
        assert.equal(json.code, 'woocommerce_rest_cannot_view');
    });

    test('the method may be tunnelled', async () => {
        const { id } = await makeProduct();
        const { status } = await shop.call('POST', `/products/${id}`, { headers: { 'x-http-method-override': 'DELETE' }, query: { force: 'true' } });
        assert.equal(status, 200);
        assert.equal((await shop.get(`/products/${id}`)).status, 404);
    });

    test('HEAD carries the paging headers', async () => {
        const { status, headers, text } = await shop.call('HEAD', '/products');
        assert.equal(status, 200);
        assert.ok(headers['x-wp-total']);
        assert.equal(text, '');
    });
});

describe('writing', () => {
    test('money must be text', async () => {
        const { status, json } = await shop.post('/products', { name: 'x', regular_price: 12.5 });
        assert.deepEqual([status, json.code], [400, 'rest_invalid_param']);
        assert.equal(json.data.details.regular_price.code, 'rest_invalid_type');
    });

    test('bad money text is mangled without a word', async () => {
        for (const [sent, kept] of [['1,50', '150'], ['abc', ''], ['12.345', '12.345'], ['1.2.3', '12.3']]) {
            assert.equal((await makeProduct({ regular_price: sent })).regular_price, kept);
        }
    });

    test('integers may come as text, words outside the list may not', async () => {
        assert.equal((await makeProduct({ manage_stock: true, stock_quantity: '7' })).stock_quantity, 7);
        const { status, json } = await shop.post('/products', { name: 'x', status: 'sold' });
        assert.deepEqual([status, json.data.details.status.code], [400, 'rest_not_in_enum']);
    });

    test('a quantity without manage_stock is dropped', async () => {
        const product = await makeProduct({ stock_quantity: 5 });
        assert.deepEqual([product.manage_stock, product.stock_quantity], [false, null]);
    });

    test('the quantity decides the stock status', async () => {
        const { id } = await makeProduct({ manage_stock: true, stock_quantity: 1 });
        assert.equal((await shop.put(`/products/${id}`, { stock_quantity: 0 })).json.stock_status, 'outofstock');
    });

    test('a SKU in use is 400 and names its holder; the trash lets go of it', async () => {
        const first = await makeProduct();
        const { status, json } = await shop.post('/products', { name: 'Twin', sku: first.sku });
        assert.deepEqual([status, json.code, json.data.resource_id], [400, 'product_invalid_sku', first.id]);
        assert.equal(json.data.unique_sku, `${first.sku}-1`);
        await shop.delete(`/products/${first.id}`);
        assert.equal((await shop.post('/products', { name: 'Heir', sku: first.sku })).status, 201);
    });

    test('an id in the body beats the one in the path; on create it is refused', async () => {
        const a = await makeProduct();
        const b = await makeProduct();
        const { json } = await shop.put(`/products/${a.id}`, { id: b.id, name: 'Hit' });
        assert.equal(json.id, b.id);
        assert.notEqual((await shop.get(`/products/${a.id}`)).json.name, 'Hit');
        assert.equal((await shop.post('/products', { id: a.id, name: 'x' })).json.code, 'woocommerce_rest_product_exists');
    });

    test('PATCH, POST and PUT on an item are all partial updates', async () => {
        const { id } = await makeProduct({ description: 'stays' });
        for (const method of ['PATCH', 'POST', 'PUT']) {
            const { json } = await shop.call(method, `/products/${id}`, { body: { name: method } });
            assert.deepEqual([json.name, json.description], [method, 'stays']);
        }
    });

    test('an update that changes nothing moves the date', async () => {
        const made = await makeProduct();
        await nextSecond();
        const { json } = await shop.put(`/products/${made.id}`, {});
        assert.ok(json.date_modified_gmt > made.date_modified_gmt);
    });

    test('meta data: by key without twins, by id, removed by null, id null is refused', async () => {
        const { id } = await makeProduct({ meta_data: [{ key: 'colour', value: 'red' }, { key: 'size', value: 5 }, { key: 'map', value: {} }] });
        await shop.put(`/products/${id}`, { meta_data: [{ key: 'colour', value: 'blue' }] });
        const { json } = await shop.get(`/products/${id}`);
        assert.deepEqual(json.meta_data.map(({ key, value }) => [key, value]), [['colour', 'blue'], ['size', '5'], ['map', []]]);
        const sizeId = json.meta_data[1].id;
        await shop.put(`/products/${id}`, { meta_data: [{ id: sizeId, value: '6' }, { key: 'colour', value: null }, { key: 'map', value: null }] });
        assert.deepEqual((await shop.get(`/products/${id}`)).json.meta_data, [{ id: sizeId, key: 'size', value: '6' }]);
        assert.equal((await shop.put(`/products/${id}`, { meta_data: [{ id: null, key: 'x', value: '1' }] })).status, 400);
    });

    test('what is not JSON is rest_invalid_json', async () => {
        for (const raw of ['{"name":', Buffer.from([0x22, 0xff, 0x22])]) {
            const { status, json } = await shop.call('POST', '/products', { raw });
            assert.deepEqual([status, json.code], [400, 'rest_invalid_json']);
        }
    });
});

describe('reading lists', () => {
    let full;
    before(async () => { full = await startShop(['--products', '205', '--timezone-offset', '-300']); });
    after(() => full.stop());

    test('at most 100 rows a page', async () => {
        const { status, json } = await full.get('/products', { query: { per_page: '101' } });
        assert.deepEqual([status, json.code, json.data.details.per_page.code], [400, 'rest_invalid_param', 'rest_out_of_bounds']);
    });

    test('pages cover everything once; beyond the end is 200 and empty with only prev', async () => {
        const ids = new Set();
        for (let page = 1; page <= 3; page++) {
            const { json, headers } = await full.get('/products', { query: { per_page: '100', page: String(page), orderby: 'modified', order: 'asc' } });
            json.forEach(({ id }) => ids.add(id));
            assert.deepEqual([headers['x-wp-total'], headers['x-wp-totalpages']], ['205', '3']);
        }
        assert.equal(ids.size, 205);
        const { status, json, headers } = await full.get('/products', { query: { per_page: '100', page: '4' } });
        assert.deepEqual([status, json], [200, []]);
        assert.match(headers.link, /rel="prev"/);
        assert.doesNotMatch(headers.link, /rel="next"/);
    });

    test('_fields takes only what is named, also inside a map', async () => {
        const { json } = await full.get('/products', { query: { _fields: 'id,stock_quantity,dimensions.width', per_page: '1' } });
        assert.deepEqual(Object.keys(json[0]), ['id', 'stock_quantity', 'dimensions']);
        assert.deepEqual(json[0].dimensions, { width: '' });
    });

    test('include, exclude and several SKUs', async () => {
        const { json } = await full.get('/products', { query: { sku: 'SKU-00003,SKU-00007,NONE', orderby: 'id', order: 'asc' } });
        assert.deepEqual(json.map(({ sku }) => sku), ['SKU-00003', 'SKU-00007']);
        const [a, b] = json.map(({ id }) => id);
        const included = await full.get('/products', { query: { include: `${b},${a}`, orderby: 'include' } });
        assert.deepEqual(included.json.map(({ id }) => id), [b, a]);
        const rest = await full.get('/products', { query: { include: `${a},${b}`, exclude: String(a) } });
        assert.deepEqual(rest.json.map(({ id }) => id), [b]);
    });

    test('status any leaves out the trash', async () => {
        const { json: [first] } = await full.get('/products', { query: { sku: 'SKU-00100' } });
        await full.delete(`/products/${first.id}`);
        assert.equal((await full.get('/products', { query: { status: 'any' } })).headers['x-wp-total'], '204');
        assert.deepEqual((await full.get('/products', { query: { status: 'trash' } })).json.map(({ id }) => id), [first.id]);
        await full.put(`/products/${first.id}`, { status: 'publish' });
        assert.equal((await full.get('/products')).headers['x-wp-total'], '205');
    });

    test('a raw plus in a query is a space, so that a zone written with it is refused', async () => {
        const { status, json } = await full.get('/products', { query: { modified_after: '2026-01-01T00:00:00 00:00' } });
        assert.deepEqual([status, json.data.details.modified_after.code], [400, 'rest_invalid_date']);
    });
});

describe('dates', () => {
    for (const [place, offset] of [['west', -300], ['east', 330]]) {
        test(`${place} of Greenwich: local and UTC stamps, the bound is strict, and 'Z' with dates_are_gmt is off by the zone`, async () => {
            const zoned = await startShop(['--timezone-offset', String(offset)]);
            try {
                const [early, late] = await zoned.person('POST', '/products', [
                    { name: 'Early', date_modified_gmt: '2026-03-01T12:00:00' }, { name: 'Late', date_modified_gmt: '2026-03-01T12:00:01' }]);
                assert.equal(late.date_modified, offset === -300 ? '2026-03-01T07:00:01' : '2026-03-01T17:30:01');
                const names = async (query) => (await zoned.get('/products', { query: { orderby: 'id', order: 'asc', ...query } })).json.map(({ name }) => name);

                assert.deepEqual(await names({ modified_after: early.date_modified_gmt, dates_are_gmt: 'true' }), ['Late'], 'strict');
                assert.deepEqual(await names({ modified_before: late.date_modified_gmt, dates_are_gmt: 'true' }), ['Early'], 'strict');
                assert.deepEqual(await names({ modified_after: early.date_modified }), ['Late'], 'naive is local');
                assert.deepEqual(await names({ modified_after: `${early.date_modified_gmt}Z` }), ['Late'], 'Z is converted');
                const pitfall = await names({ modified_after: `${early.date_modified_gmt}Z`, dates_are_gmt: 'true' });
                assert.deepEqual(pitfall, offset < 0 ? ['Early', 'Late'] : [], 'too many rows in the west, missing rows in the east');
            } finally {
                await zoned.stop();
            }
        });
    }

    test('stock that moves by itself or by an order leaves the date; a person moves it', async () => {
        const made = await makeProduct({ manage_stock: true, stock_quantity: 9 });
        await nextSecond();
        await shop.person('PUT', `/products/${made.id}/stock`, { quantity: 4 });
        await shop.post('/orders', { set_paid: true, line_items: [{ product_id: made.id, quantity: 3 }] });
        const { json } = await shop.get(`/products/${made.id}`);
        assert.deepEqual([json.stock_quantity, json.date_modified_gmt], [1, made.date_modified_gmt]);
        const edited = await shop.person('PUT', `/products/${made.id}`, { name: 'By hand' });
        assert.ok(edited.date_modified_gmt > made.date_modified_gmt);
    });
});

describe('deleting', () => {
    test('to the trash with the old status, again is 410, restored by publish, forced is gone', async () => {
        const { id, slug } = await makeProduct();
        assert.equal((await shop.delete(`/products/${id}`)).json.status, 'publish');
        const trashed = (await shop.get(`/products/${id}`)).json;
        assert.deepEqual([trashed.status, trashed.slug], ['trash', `${slug}__trashed`]);
        const again = await shop.delete(`/products/${id}`);
        assert.deepEqual([again.status, again.json.code], [410, 'woocommerce_rest_already_trashed']);
        assert.equal((await shop.put(`/products/${id}`, { status: 'publish' })).json.slug, slug);
        assert.equal((await shop.call('DELETE', `/products/${id}`, { query: { force: 'true' } })).status, 200);
        for (const [method, status] of [['GET', 404], ['PUT', 400], ['DELETE', 404]]) {
            const answer = await shop.call(method, `/products/${id}`, method === 'PUT' ? { body: { name: 'x' } } : {});
            assert.deepEqual([answer.status, answer.json.code], [status, 'woocommerce_rest_product_invalid_id']);
        }
    });
});

describe('batch', () => {
    test('more than 100 items are 413', async () => {
        const { status, json } = await shop.post('/products/batch', { create: Array.from({ length: 101 }, () => ({ name: 'x' })) });
        assert.deepEqual([status, json.code], [413, 'woocommerce_rest_request_entity_too_large']);
    });

    test('mixed results in the order sent, checks are loose, deletes are forced', async () => {
        const a = await makeProduct();
        const b = await makeProduct();
        const { status, json } = await shop.post('/products/batch', {
            create: [{ name: 5, sku: `N-${++number}`, regular_price: 2.5 }, { name: 'twin', sku: a.sku }],
            update: [{ id: 99999, name: 'x' }, { id: a.id, name: 'New' }], delete: [b.id, 88888],
        });
        assert.equal(status, 200);
        assert.deepEqual([json.create[0].name, json.create[0].regular_price], ['5', '2.5']);
        assert.deepEqual([json.create[1].id, json.create[1].error.code, json.create[1].error.data.resource_id], [0, 'product_invalid_sku', a.id]);
        assert.deepEqual([json.update[0].id, json.update[0].error.code, json.update[1].name], [99999, 'woocommerce_rest_product_invalid_id', 'New']);
        assert.deepEqual([json.delete[0].id, json.delete[1].error.data.status], [b.id, 404]);
        assert.equal((await shop.get(`/products/${b.id}`)).status, 404);
    });

    test('an empty batch is an empty list', async () => {
        assert.equal((await shop.post('/products/batch', {})).text, '[]');
    });
});
