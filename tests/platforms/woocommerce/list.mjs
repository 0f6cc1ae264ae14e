// GET /products: filters, order, paging.
import { enumerate, invalidParams } from './errors.mjs';
import { encodeJson } from './php.mjs';
import { findPaths, pick } from './fields.mjs';

const ORDERS = ['date', 'id', 'include', 'title', 'slug', 'modified', 'menu_order', 'price', 'popularity', 'rating'];
const STATUSES = ['any', 'future', 'trash', 'draft', 'pending', 'private', 'publish'];

// What rows with equal keys are ordered by: fixed, but neither by id nor by age, because the shop's database promises nothing.
const scatter = (id) => Math.imul(id, 2654435761) >>> 0;

const KEYS = {
    date: (product) => product.created,
    id: (product) => product.id,
    title: (product) => product.fields.name,
    slug: (product) => product.fields.slug,
    modified: (product) => product.modified,
    menu_order: (product) => product.fields.menu_order,
    price: (product) => Number(product.fields.regular_price) || 0,
    popularity: (product) => product.fields.total_sales,
    rating: () => 0,
};

export class ProductList {
    constructor(shop) {
        this.shop = shop;
        this.sorted = new Map();
        this.sortedVersion = -1;
    }

    // {total, pages, page, text}: text is the JSON of one page.
    query(query) {
        const wish = readWish(query, this.shop.clock);
        const keep = makeFilter(wish, this.shop.clock);
        const rows = this.candidates(wish).filter(keep);
        const start = wish.offset ?? (wish.page - 1) * wish.perPage;
        const page = rows.slice(start, start + wish.perPage);
        return {
            total: rows.length,
            pages: Math.ceil(rows.length / wish.perPage),
            page: wish.page,
            text: `[${page.map((product) => showRow(product, wish.paths)).join(',')}]`,
        };
    }

    candidates(wish) {
        let rows;
        if (wish.include) {
            rows = wish.include.map((id) => this.shop.find(id)).filter(Boolean);
        } else if (wish.skus) {
            const ids = new Set(wish.skus.flatMap((sku) => [...(this.shop.idsBySku.get(sku) ?? [])]));
            rows = [...ids].map((id) => this.shop.find(id));
        } else {
            return this.sortAll(wish.orderby, wish.order);
        }
        return wish.orderby === 'include' ? rows : sort(rows, wish.orderby, wish.order);
    }

    sortAll(orderby, order) {
        if (this.sortedVersion !== this.shop.version) {
            this.sorted.clear();
            this.sortedVersion = this.shop.version;
        }
        const name = `${orderby} ${order}`;
        if (!this.sorted.has(name)) {
            this.sorted.set(name, sort([...this.shop.products.values()], orderby, order));
        }
        return this.sorted.get(name);
    }
}

function sort(rows, orderby, order) {
    const key = KEYS[orderby] ?? KEYS.date;
    const up = order === 'asc' ? 1 : -1;
    return rows.sort((a, b) => {
        const x = key(a);
        const y = key(b);
        return x < y ? -up : x > y ? up : scatter(a.id) - scatter(b.id);
    });
}

function showRow(product, paths) {
    return paths ? encodeJson(pick(product.show(), paths)) : product.showText();
}

// Query parameters to a wish; throws with every parameter that is wrong.
function readWish(query, clock) {
    const problems = [];
    const wish = {
        page: readInteger(query, 'page', 1, problems, { least: 1 }),
        perPage: readInteger(query, 'per_page', 10, problems, { least: 1, most: 100 }),
        offset: readInteger(query, 'offset', undefined, problems, {}),
        orderby: readWord(query, 'orderby', 'date', ORDERS, problems),
        order: readWord(query, 'order', 'desc', ['asc', 'desc'], problems),
        status: readWord(query, 'status', 'any', STATUSES, problems),
        type: query.type,
        stockStatus: query.stock_status,
        search: query.search?.toLowerCase(),
        slug: query.slug,
        skus: readSkus(query.sku),
        include: readIds(query, 'include', problems),
        exclude: readIds(query, 'exclude', problems),
        gmt: ['true', '1'].includes(query.dates_are_gmt),
        paths: findPaths(query._fields),
        bounds: [],
    };
    for (const name of ['after', 'before', 'modified_after', 'modified_before']) {
        if (query[name] === undefined) {
            continue;
        }
        const bound = clock.bound(query[name]);
        if (bound === null) {
            problems.push({ param: name, code: 'rest_invalid_date', message: 'Invalid date.' });
        }
        wish.bounds.push({ column: name.startsWith('modified') ? 'modified' : 'created', isAfter: name.endsWith('after'), bound });
    }
    if (problems.length > 0) {
        throw invalidParams(problems);
    }
    return wish;
}

function readInteger(query, param, fallback, problems, { least, most }) {
    const text = query[param];
    if (text === undefined) {
        return fallback;
    }
    if (!/^-?\d+$/.test(text)) {
        problems.push({ param, code: 'rest_invalid_type', message: `${param} is not of type integer.`, data: { param } });
        return fallback;
    }
    const value = Number(text);
    if (most !== undefined && (value < least || value > most)) {
        problems.push({ param, code: 'rest_out_of_bounds', message: `${param} must be between ${least} (inclusive) and ${most} (inclusive)` });
    } else if (least !== undefined && value < least) {
        problems.push({ param, code: 'rest_out_of_bounds', message: `${param} must be greater than or equal to ${least}` });
    }
    return value;
}

function readWord(query, param, fallback, allowed, problems) {
    const word = query[param] ?? fallback;
    if (!allowed.includes(word)) {
        problems.push({ param, code: 'rest_not_in_enum', message: `${param} is not one of ${enumerate(allowed)}.` });
    }
    return word;
}

function readIds(query, param, problems) {
    const value = query[param];
    if (value === undefined) {
        return null;
    }
    const words = typeof value === 'object' ? Object.values(value) : value.split(/[\s,]+/).filter(Boolean);
    const wrong = words.findIndex((word) => !/^-?\d+$/.test(word));
    if (wrong >= 0) {
        problems.push({ param, code: 'rest_invalid_type', message: `${param}[${wrong}] is not of type integer.`, data: { param: `${param}[${wrong}]` } });
    }
    return words.length > 0 ? words.map(Number) : null;
}

// Exact SKUs in a comma list; a SKU that itself holds a comma is found too.
function readSkus(text) {
    if (text === undefined || text === '') {
        return null;
    }
    return text.includes(',') ? [...text.split(','), text] : [text];
}

function makeFilter(wish, clock) {
    const tests = [];
    const excluded = wish.exclude && new Set(wish.exclude);
    const skus = wish.skus && new Set(wish.skus);
    const add = (wanted, test) => wanted && tests.push(test);

    add(true, wish.status === 'any' ? (product) => !product.isTrashed() : (product) => product.fields.status === wish.status);
    add(excluded, (product) => !excluded.has(product.id));
    add(skus && wish.include, (product) => skus.has(product.fields.sku));
    add(wish.type, (product) => product.fields.type === wish.type);
    add(wish.stockStatus, (product) => product.fields.stock_status === wish.stockStatus);
    add(wish.slug, (product) => product.fields.slug === wish.slug);
    add(wish.search, (product) => `${product.fields.name}\n${product.fields.description}\n${product.fields.short_description}`.toLowerCase().includes(wish.search));
    for (const { column, isAfter, bound } of wish.bounds) {
        const seconds = clock.parse(bound, wish.gmt);
        add(true, isAfter ? (product) => product[column] > seconds : (product) => product[column] < seconds);
    }
    return (product) => tests.every((test) => test(product));
}
