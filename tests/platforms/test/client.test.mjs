// The platform's own client, as an independent witness that the simulator speaks its language.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import https from 'node:https';
import clientModule from '@woocommerce/woocommerce-rest-api';
import { startShop, startTlsShop } from './support.mjs';

const Client = clientModule.default ?? clientModule;

const WAYS = [
    { name: 'OAuth over http', start: () => startShop(['--products', '23']), options: () => ({}) },
    { name: 'Basic over https', start: () => startTlsShop(['--products', '23']), options: withCa },
    { name: 'keys in the query over https', start: () => startTlsShop(['--products', '23']), options: (shop) => ({ ...withCa(shop), queryStringAuth: true }) },
];

function withCa(shop) {
    return { axiosConfig: { httpsAgent: new https.Agent({ ca: shop.ca }) } };
}

for (const way of WAYS) {
    describe(`the official client, ${way.name}`, () => {
        let shop;
        let client;

        before(async () => {
            shop = await way.start();
            client = new Client({ url: shop.url, consumerKey: shop.consumer_key, consumerSecret: shop.consumer_secret, version: 'wc/v3', ...way.options(shop) });
        });
        after(() => shop.stop());

        test('lists pages with totals', async () => {
            const { data, headers } = await client.get('products', { per_page: 10, page: 3, orderby: 'id', order: 'asc' });
            assert.equal(data.length, 3);
            assert.equal(headers['x-wp-total'], '23');
            assert.equal(headers['x-wp-totalpages'], '3');
        });

        test('finds by exact SKU, also one with signs that need encoding', async () => {
            await client.post('products', { name: 'Odd', sku: "O'D D/1 (ü)*+&=" });
            const { data } = await client.get('products', { sku: "O'D D/1 (ü)*+&=" });
            assert.deepEqual(data.map((product) => product.name), ['Odd']);
        });

        test('creates, reads, updates, trashes and deletes', async () => {
            const made = await client.post('products', { name: 'Mug', sku: 'MUG-1', regular_price: '12.50', manage_stock: true, stock_quantity: 4 });
            assert.equal(made.status, 201);
            const path = `products/${made.data.id}`;
            assert.equal((await client.put(path, { regular_price: '13.00' })).data.price, '13.00');
            assert.equal((await client.get(path)).data.stock_quantity, 4);
            assert.equal((await client.delete(path)).data.status, 'publish');
            assert.equal((await client.get(path)).data.status, 'trash');
            await client.delete(path, { force: true });
            await assert.rejects(client.get(path), (error) => error.response.status === 404);
        });

        test('sends a batch', async () => {
            const { data } = await client.post('products/batch', { create: [{ name: 'A', sku: 'BATCH-1' }, { name: 'B', sku: 'BATCH-1' }] });
            assert.equal(data.create[0].name, 'A');
            assert.equal(data.create[1].error.code, 'product_invalid_sku');
        });

        test('is told about an unknown id', async () => {
            await assert.rejects(client.put('products/99999', { name: 'x' }), (error) => error.response.status === 400
                && error.response.data.code === 'woocommerce_rest_product_invalid_id');
        });
    });
}
