// The back door, for tests: look at the state, act as a person in the shop, order trouble.
import fastify from 'fastify';
import { ShopError } from './errors.mjs';
import { findPaths, pick } from './fields.mjs';

export function buildAdmin(site) {
    const app = fastify({ forceCloseConnections: true });
    const { shop, faults, log, rate } = site;

    app.removeContentTypeParser('application/json');
    app.addContentTypeParser(['application/json', 'text/plain'], { parseAs: 'string' }, (_request, text, done) => {
        try {
            done(null, text === '' ? {} : JSON.parse(text));
        } catch (error) {
            error.statusCode = 400;
            done(error);
        }
    });
    app.setErrorHandler((error, _request, reply) => reply
        .code(error instanceof ShopError ? error.status : error.statusCode ?? 400).send(error instanceof ShopError ? error.toBody() : { message: error.message }));

    app.get('/requests', ({ query }) => log.entries.filter((entry) => (!query.method || entry.method === query.method)
        && (!query.path || entry.path.startsWith(query.path)) && (!query.effect || entry.effect)));
    app.delete('/requests', () => (log.clear(), { ok: true }));
    app.get('/stats', () => ({
        ...log.counts, products: shop.products.size, trashed: [...shop.products.values()].filter((product) => product.isTrashed()).length,
        duplicate_skus: shop.duplicateSkus(), changes: countChanges(shop.journal), faults_waiting: faults.rules.length,
    }));
    app.get('/journal', ({ query }) => shop.journal.filter((row) => (!query.op || row.op === query.op) && (!query.by || row.by === query.by)));

    app.get('/products', ({ query }) => selectProducts(shop, query).map((product) => describe(product, query.fields)));
    app.get('/products/:id', ({ params }) => describe(shop.get(params.id, 404)));
    app.post('/products', ({ body }, reply) => {
        const rows = Array.isArray(body) ? body : [body];
        const made = rows.map((row) => describe(addProduct(shop, row)));
        return reply.code(201).send(Array.isArray(body) ? made : made[0]);
    });
    app.put('/products/:id', ({ params, body }) => describe(editProduct(shop, shop.get(params.id, 404), body)));
    app.put('/products/:id/stock', ({ params, body }) => {
        const product = shop.get(params.id, 404);
        shop.setStock(product, Number(body.quantity));
        return describe(product);
    });
    app.delete('/products/:id', ({ params, query }) => {
        shop.remove(shop.get(params.id, 404), query.force !== 'false', 'person');
        return { ok: true };
    });

    app.get('/faults', () => faults.rules.map((rule) => ({ ...rule, times: Number.isFinite(rule.times) ? rule.times : null })));
    app.post('/faults', ({ body }) => ({ id: faults.add(body).id }));
    app.delete('/faults', () => (faults.rules = [], { ok: true }));
    app.post('/outage', ({ body }) => {
        const mode = body.mode ?? 'reset';
        if (!['reset', '503', 'hang'].includes(mode)) {
            throw new Error(`unknown mode '${mode}'; known: reset, 503, hang`);
        }
        faults.outage = body.on ? mode : null;
        return { on: Boolean(body.on), mode };
    });
    app.post('/reject', ({ body }) => (shop.refusals.push(body), { rules: shop.refusals.length }));
    app.delete('/reject', () => (shop.refusals = [], { ok: true }));
    app.post('/rate', ({ body }) => (rate.set(body.per_second), { per_second: rate.perSecond }));
    app.post('/delay', ({ body }) => (site.delayMs = Number(body.ms) || 0, { ms: site.delayMs }));
    return app;
}

// A person's form knows no schema: stock is managed as soon as a quantity is typed in. date_modified_gmt may be set, to build ties.
function addProduct(shop, row) {
    const product = shop.create(withStock(row), 'person');
    return applyStamp(shop, product, row);
}

function editProduct(shop, product, row) {
    shop.update(product, withStock(row), 'person');
    return applyStamp(shop, product, row);
}

export function fillShop(shop, rows) {
    for (const row of rows) {
        applyStamp(shop, shop.create(withStock(row), 'fill'), row);
    }
}

const withStock = (row) => (row.stock_quantity !== undefined && row.manage_stock === undefined ? { ...row, manage_stock: true } : row);

function applyStamp(shop, product, row) {
    if (row.date_modified_gmt) {
        shop.setModified(product, shop.clock.parse(row.date_modified_gmt, true));
    }
    return product;
}

function selectProducts(shop, { sku, ids }) {
    const products = ids === undefined ? [...shop.products.values()] : ids.split(',').map((id) => shop.find(id)).filter(Boolean);
    return sku === undefined ? products : products.filter((product) => product.fields.sku === sku);
}

function describe(product, fields) {
    if (fields) {
        return pick(product.show(), findPaths(fields));
    }
    const { _links, ...shown } = product.show();
    return shown;
}

function countChanges(journal) {
    const counts = {};
    for (const { op, by } of journal) {
        counts[`${by}.${op}`] = (counts[`${by}.${op}`] ?? 0) + 1;
    }
    return counts;
}
