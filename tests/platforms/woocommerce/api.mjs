// The REST routes of the shop: what each call does to the data, as plain functions from a request to an answer.
import { ShopError, invalidParams } from './errors.mjs';
import { encodeJson } from './php.mjs';
import { findPaths, pick } from './fields.mjs';
import { findProblems } from './schema.mjs';
import { ProductList } from './list.mjs';

const MAX_BATCH = 100;
const JSON_TYPE = { 'content-type': 'application/json; charset=UTF-8' };

export const answerJson = (status, text, headers = {}) => ({ status, text, headers: { ...JSON_TYPE, ...headers } });

export function answerError(error) {
    return answerJson(error.status, encodeJson(error.toBody()));
}

// call: {id, query, body, url}. id is what the request aims at: an id in the body or the query beats the one in the path.
export class Api {
    constructor(shop, { ordersMoveDates }) {
        this.shop = shop;
        this.list = new ProductList(shop);
        this.ordersMoveDates = ordersMoveDates;
    }

    listProducts({ query, url }) {
        const { text, total, pages, page } = this.list.query(query);
        const headers = { 'x-wp-total': String(total), 'x-wp-totalpages': String(pages) };
        const link = pagingLinks(url, page, pages);
        return answerJson(200, text, link ? { ...headers, link } : headers);
    }

    getProduct({ id, query }) {
        return this.answerProduct(200, this.shop.get(id, 404), query);
    }

    createProduct({ body, query }) {
        if (body.id) {
            throw new ShopError(400, 'woocommerce_rest_product_exists', 'Cannot create existing product.');
        }
        const product = this.shop.create(body);
        return this.answerProduct(201, product, query, { location: `${this.shop.url}/wp-json/wc/v3/products/${product.id}` });
    }

    // Unknown ids are a 400 here, though a GET of the same id is a 404 with the same code.
    updateProduct({ id, body, query }) {
        return this.answerProduct(200, this.shop.update(this.shop.get(id, 400), body), query);
    }

    // A product sent to the trash is answered as it was before.
    deleteProduct({ id, query, body }) {
        const force = ['true', '1', true].includes(body.force ?? query.force);
        return answerJson(200, this.shop.remove(this.shop.get(id, 404), force));
    }

    batchProducts({ body }) {
        const { create = [], update = [], delete: remove = [] } = body;
        const count = create.length + update.length + remove.length;
        if (count > MAX_BATCH) {
            throw new ShopError(413, 'woocommerce_rest_request_entity_too_large', `Unable to accept more than ${MAX_BATCH} items for this request.`);
        }
        const parts = [];
        const add = (name, items, act) => {
            if (items.length > 0) {
                parts.push(`"${name}":[${items.map((item) => batchItem(item, act)).join(',')}]`);
            }
        };
        add('create', create, (item) => this.createProduct({ body: item ?? {}, query: {} }).text);
        add('update', update, (item) => this.updateProduct({ id: item.id, body: item, query: {} }).text);
        add('delete', remove, (id) => this.shop.remove(this.shop.get(id, 404), true));
        return answerJson(200, parts.length > 0 ? `{${parts.join(',')}}` : '[]');
    }

    createOrder({ body }) {
        return answerJson(201, encodeJson(this.shop.createOrder(body, this.ordersMoveDates)));
    }

    listOrders() {
        const { orders } = this.shop;
        return answerJson(200, encodeJson([...orders.values()]), { 'x-wp-total': String(orders.size), 'x-wp-totalpages': orders.size ? '1' : '0' });
    }

    systemStatus() {
        return answerJson(200, encodeJson({
            environment: { home_url: this.shop.url, site_url: this.shop.url, version: '10.0.2', wp_version: '7.0.4' },
            settings: { currency: 'EUR', thousand_separator: ',', decimal_separator: '.', number_of_decimals: 2 },
        }));
    }

    answerProduct(status, product, query, headers) {
        const paths = findPaths(query._fields);
        return answerJson(status, paths ? encodeJson(pick(product.show(), paths)) : product.showText(), headers);
    }
}

// Checks of a single write; a batch does not make them.
export function checkBody(body) {
    const problems = findProblems(body);
    if (problems.length > 0) {
        throw invalidParams(problems);
    }
}

function batchItem(item, act) {
    try {
        return act(item);
    } catch (error) {
        if (!(error instanceof ShopError)) {
            throw error;
        }
        const id = typeof item === 'object' && item !== null ? item.id ?? 0 : item;
        return encodeJson({ id: Number(id) || 0, error: error.toBody() });
    }
}

function pagingLinks(url, page, pages) {
    const to = (number) => {
        const target = new URL(url);
        target.searchParams.set('page', String(number));
        return target.href;
    };
    const links = [];
    if (page > 1) {
        links.push(`<${to(Math.min(page - 1, Math.max(pages, 1)))}>; rel="prev"`);
    }
    if (page < pages) {
        links.push(`<${to(page + 1)}>; rel="next"`);
    }
    return links.join(', ');
}

export function describeSite(shop, isTls) {
    return encodeJson({
        name: 'Simulated shop', description: '', url: shop.url, home: shop.url, gmt_offset: shop.clock.offsetMinutes / 60,
        timezone_string: '', namespaces: ['oembed/1.0', 'wc/v1', 'wc/v2', 'wc/v3', 'wp/v2'],
        authentication: isTls ? { 'application-passwords': { endpoints: { authorization: `${shop.url}/wp-admin/authorize-application.php` } } } : {},
        routes: Object.fromEntries(['/', '/wc/v3', '/wc/v3/products', '/wc/v3/products/(?P<id>[\\d]+)', '/wc/v3/products/batch', '/wc/v3/orders']
            .map((route) => [route, { namespace: route.startsWith('/wc/v3') ? 'wc/v3' : '', methods: ['GET'] }])),
    });
}

