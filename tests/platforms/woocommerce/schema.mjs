// What a product may hold when it is written, and how strict the shop is about types.
import { enumerate } from './errors.mjs';

const STATUSES = ['draft', 'pending', 'private', 'publish', 'future', 'auto-draft', 'trash'];

// name -> [type, allowed values]; the type of a list is 'array' or 'array of integer'. Fields not named here are read-only or unknown and ignored.
const WRITABLE = {
    name: ['string'], slug: ['string'], date_created: ['date-time'], date_created_gmt: ['date-time'],
    type: ['string', ['simple', 'grouped', 'external', 'variable']], status: ['string', STATUSES], featured: ['boolean'],
    catalog_visibility: ['string', ['visible', 'catalog', 'search', 'hidden']], description: ['string'],
    short_description: ['string'], sku: ['string'], global_unique_id: ['string'], regular_price: ['string'],
    sale_price: ['string'], date_on_sale_from: ['date-time'], date_on_sale_from_gmt: ['date-time'],
    date_on_sale_to: ['date-time'], date_on_sale_to_gmt: ['date-time'], virtual: ['boolean'], downloadable: ['boolean'],
    downloads: ['array'], download_limit: ['integer'], download_expiry: ['integer'], external_url: ['string'],
    button_text: ['string'], tax_status: ['string', ['taxable', 'shipping', 'none']], tax_class: ['string'],
    manage_stock: ['boolean'], stock_quantity: ['integer'],
    stock_status: ['string', ['instock', 'outofstock', 'onbackorder']], backorders: ['string', ['no', 'notify', 'yes']],
    low_stock_amount: ['integer'], sold_individually: ['boolean'], weight: ['string'], dimensions: ['object'],
    shipping_class: ['string'], reviews_allowed: ['boolean'], upsell_ids: ['array of integer'],
    cross_sell_ids: ['array of integer'], parent_id: ['integer'], purchase_note: ['string'], categories: ['array'],
    brands: ['array'], tags: ['array'], images: ['array'], attributes: ['array'], default_attributes: ['array'],
    grouped_products: ['array of integer'], menu_order: ['integer'], meta_data: ['array'],
};

const NESTED = {
    dimensions: { length: 'string', width: 'string', height: 'string' },
    categories: { id: 'integer' }, brands: { id: 'integer' }, tags: { id: 'integer' },
    images: { id: 'integer', src: 'string', name: 'string', alt: 'string' },
    attributes: { id: 'integer', name: 'string', position: 'integer', visible: 'boolean', variation: 'boolean', options: 'array' },
    default_attributes: { id: 'integer', name: 'string', option: 'string' },
    downloads: { id: 'string', name: 'string', file: 'string' },
    meta_data: { id: 'integer', key: 'string' },
};

const TYPES = {
    string: (value) => typeof value === 'string',
    'date-time': (value) => typeof value === 'string',
    integer: (value) => (typeof value === 'number' || typeof value === 'string') && /^-?\d+(\.0*)?$/.test(String(value)),
    boolean: (value) => typeof value === 'boolean' || [0, 1, '', '0', '1', 'true', 'false'].includes(value),
    array: (value) => Array.isArray(value) || ['string', 'number'].includes(typeof value),
    object: (value) => value === '' || (value !== null && typeof value === 'object'),
};

// What is wrong with a body, as rows for invalidParams(). A null at the top counts as 'not sent'.
export function findProblems(body) {
    const problems = [];
    for (const [param, value] of Object.entries(body)) {
        const rule = WRITABLE[param];
        if (!rule || value === null) {
            continue;
        }
        const problem = checkField(param, value, rule);
        if (problem) {
            problems.push({ param, ...problem });
        }
    }
    return problems;
}

function checkField(param, value, [type, allowed]) {
    const kind = type.split(' ')[0];
    if (!TYPES[kind](value)) {
        return wrongType(param, kind);
    }
    if (allowed && !allowed.includes(value)) {
        return { code: 'rest_not_in_enum', message: `${param} is not one of ${enumerate(allowed)}.` };
    }
    if (type === 'array of integer') {
        const at = asList(value).findIndex((item) => !TYPES.integer(item));
        return at < 0 ? null : wrongType(`${param}[${at}]`, 'integer');
    }
    return NESTED[param] ? checkNested(param, value, NESTED[param]) : null;
}

function checkNested(param, value, rules) {
    const rows = Array.isArray(value) ? value.map((row, at) => [`${param}[${at}]`, row]) : [[param, value]];
    for (const [path, row] of rows) {
        if (row === null || typeof row !== 'object') {
            return wrongType(path, 'object');
        }
        for (const [name, type] of Object.entries(rules)) {
            if (row[name] !== undefined && !TYPES[type](row[name])) {
                return wrongType(`${path}[${name}]`, type);
            }
        }
    }
    return null;
}

const wrongType = (path, type) => ({
    code: 'rest_invalid_type',
    message: `${path} is not of type ${type === 'date-time' ? 'string' : type}.`,
    data: { param: path },
});

const asList = (value) => (Array.isArray(value) ? value : String(value).split(/[\s,]+/).filter(Boolean));

// The written form of a value that passed the check (or came by a batch, which does not check).
const COERCE = {
    string: (value) => (typeof value === 'object' ? '' : String(value)),
    'date-time': (value) => String(value),
    integer: (value) => Math.trunc(Number(value)) || 0,
    boolean: (value) => value === true || value === 1 || value === '1' || value === 'true',
    array: (value) => (Array.isArray(value) ? value : []),
    object: (value) => (value && typeof value === 'object' ? value : {}),
};

export function coerce(name, value) {
    const type = WRITABLE[name][0];
    return type === 'array of integer' ? asList(value).map(COERCE.integer) : COERCE[type](value);
}

export const isWritable = (name) => Object.hasOwn(WRITABLE, name);
