// One product: its stored fields, what a write does to them, and how it is shown.
import { ShopError } from './errors.mjs';
import { coerce, isWritable } from './schema.mjs';
import { encodeJson } from './php.mjs';

const blank = () => ({
    name: '', slug: '', type: 'simple', status: 'publish', featured: false, catalog_visibility: 'visible',
    description: '', short_description: '', sku: '', global_unique_id: '', regular_price: '', sale_price: '',
    date_on_sale_from: null, date_on_sale_to: null, total_sales: 0, virtual: false, downloadable: false, downloads: [],
    download_limit: -1, download_expiry: -1, external_url: '', button_text: '', tax_status: 'taxable', tax_class: '',
    manage_stock: false, stock_quantity: null, stock_status: 'instock', backorders: 'no', low_stock_amount: null,
    sold_individually: false, weight: '', dimensions: { length: '', width: '', height: '' }, shipping_class: '',
    reviews_allowed: true, upsell_ids: [], cross_sell_ids: [], parent_id: 0, purchase_note: '',
    categories: [{ id: 15, name: 'Uncategorized', slug: 'uncategorized' }], brands: [], tags: [], images: [],
    attributes: [], default_attributes: [], grouped_products: [], menu_order: 0, meta_data: [],
});

const MONEY = new Set(['regular_price', 'sale_price']);
const TRIMMED = new Set(['name', 'sku', 'slug', 'global_unique_id']);

export class Product {
    // shop gives the clock, the url and new ids for meta rows and images.
    constructor(shop, id) {
        this.shop = shop;
        this.id = id;
        this.fields = blank();
        this.created = this.modified = shop.clock.nowSeconds();
        this.slugBeforeTrash = null;
        this.shown = null;
        this.text = null;
    }

    isTrashed() {
        return this.fields.status === 'trash';
    }

    // Write the given fields; the caller has checked types and the SKU. Does not move the date.
    write(body) {
        const before = this.fields;
        const next = { ...before };
        for (const [name, sent] of Object.entries(body)) {
            if (sent === null || sent === undefined || !isWritable(name)) {
                continue;
            }
            let value = coerce(name, sent);
            if (MONEY.has(name)) {
                value = mangleMoney(value);
            } else if (TRIMMED.has(name)) {
                value = value.trim();
            }
            next[name] = value;
        }
        next.dimensions = { ...before.dimensions, ...pickSizes(next.dimensions) };
        next.meta_data = body.meta_data ? this.mergeMeta(before.meta_data, coerce('meta_data', body.meta_data)) : before.meta_data;
        next.images = body.images ? coerce('images', body.images).map((image, at) => this.takeImage(image, at)) : before.images;
        next.categories = body.categories ? next.categories.map(term) : before.categories;
        next.tags = body.tags ? next.tags.map(term) : before.tags;
        next.brands = body.brands ? next.brands.map(term) : before.brands;
        this.takeDates(body, next);
        settleStock(next);
        this.fields = next;
        this.changed();
    }

    takeDates(body, next) {
        const clock = this.shop.clock;
        for (const name of ['date_created', 'date_on_sale_from', 'date_on_sale_to']) {
            const sent = body[`${name}_gmt`] ?? body[name];
            if (sent === undefined || sent === null) {
                continue;
            }
            const seconds = clock.parse(sent, body[`${name}_gmt`] != null);
            if (name === 'date_created') {
                this.created = seconds ?? this.created;
            } else {
                next[name] = seconds;
            }
        }
        delete next.date_created;
        delete next.date_created_gmt;
        delete next.date_on_sale_from_gmt;
        delete next.date_on_sale_to_gmt;
    }

    // By id or by key; a null value removes the row. Plain values become text, as the shop's table stores nothing else.
    mergeMeta(rows, entries) {
        const merged = rows.map((row) => ({ ...row }));
        for (const entry of entries) {
            const at = merged.findIndex((row) => (entry.id ? row.id === Number(entry.id) : row.key === entry.key));
            if (entry.value === null || entry.value === undefined) {
                if (at >= 0) {
                    merged.splice(at, 1);
                }
                continue;
            }
            const value = metaValue(entry.value);
            if (at >= 0) {
                merged[at].value = value;
                merged[at].key = entry.key ?? merged[at].key;
            } else if (entry.key) {
                merged.push({ id: this.shop.nextMetaId(), key: String(entry.key), value });
            }
        }
        return merged;
    }

    takeImage(image, at) {
        if (image.id && !image.src) {
            const known = this.fields.images.find((row) => row.id === Number(image.id));
            return { ...(known ?? this.newImage(Number(image.id), '')), ...pickText(image) };
        }
        if (!/^https?:\/\//.test(image.src ?? '')) {
            throw new ShopError(400, 'woocommerce_product_image_upload_error', `Error getting remote image ${image.src}. Error: A valid URL was not provided.`);
        }
        return { ...this.newImage(this.shop.nextId(), image.src), ...pickText(image) };
    }

    newImage(id, src) {
        const now = this.shop.clock.nowSeconds();
        return {
            id, date_created: this.shop.clock.local(now), date_created_gmt: this.shop.clock.gmt(now),
            date_modified: this.shop.clock.local(now), date_modified_gmt: this.shop.clock.gmt(now),
            src, name: src.split('/').at(-1), alt: '',
        };
    }

    // Every save of the product itself moves the date, also one that changes nothing.
    touch() {
        this.modified = this.shop.clock.nowSeconds();
        this.changed();
    }

    // Stock that moves on its own (a sale, an import) leaves the date where it is.
    setStock(quantity) {
        this.fields = { ...this.fields, manage_stock: true, stock_quantity: quantity };
        settleStock(this.fields);
        this.changed();
    }

    trash() {
        this.slugBeforeTrash = this.fields.slug;
        this.fields = { ...this.fields, status: 'trash', slug: `${this.fields.slug}__trashed` };
        this.touch();
    }

    changed() {
        this.shown = null;
        this.text = null;
    }

    // The product as the API shows it. Borrowed: do not change it.
    show() {
        this.shown ??= render(this);
        return this.shown;
    }

    showText() {
        this.text ??= encodeJson(this.show());
        return this.text;
    }
}

// "1,50" becomes "150", "abc" becomes "", "1.2.3" becomes "12.3": silently, with 200.
function mangleMoney(text) {
    return text.replace(/\.(?=[^.]*\.)|[^0-9.-]/g, '');
}

function pickSizes(sizes) {
    return Object.fromEntries(['length', 'width', 'height'].filter((name) => sizes[name] !== undefined).map((name) => [name, String(sizes[name])]));
}

const pickText = (image) =>
    Object.fromEntries(['name', 'alt'].filter((name) => image[name] !== undefined).map((name) => [name, String(image[name])]));

function metaValue(value) {
    if (typeof value === 'boolean') {
        return value ? '1' : '';
    }
    return typeof value === 'object' ? value : String(value);
}

const term = ({ id, name, slug }) => ({ id: Number(id) || 0, name: name ?? `Term ${id}`, slug: slug ?? `term-${id}` });

// Without manage_stock the quantity is dropped without a word; with it the quantity decides the status.
function settleStock(fields) {
    if (!fields.manage_stock) {
        fields.stock_quantity = null;
        fields.low_stock_amount = null;
        fields.backorders = 'no';
        return;
    }
    if (fields.stock_quantity > 0) {
        fields.stock_status = 'instock';
    } else {
        fields.stock_status = fields.backorders === 'no' ? 'outofstock' : 'onbackorder';
    }
}

function render(product) {
    const { shop, fields, id } = product;
    const onSale = isOnSale(fields, shop.clock.nowSeconds());
    const price = onSale ? fields.sale_price : fields.regular_price;
    const api = `${shop.url}/wp-json/wc/v3/products`;
    return {
        id, name: fields.name, slug: fields.slug, permalink: `${shop.url}/product/${fields.slug}/`,
        ...dates(shop.clock, 'date_created', product.created), ...dates(shop.clock, 'date_modified', product.modified),
        type: fields.type, status: fields.status, featured: fields.featured, catalog_visibility: fields.catalog_visibility,
        description: fields.description, short_description: fields.short_description, sku: fields.sku,
        global_unique_id: fields.global_unique_id, price, regular_price: fields.regular_price, sale_price: fields.sale_price,
        ...dates(shop.clock, 'date_on_sale_from', fields.date_on_sale_from),
        ...dates(shop.clock, 'date_on_sale_to', fields.date_on_sale_to),
        on_sale: onSale, purchasable: fields.status === 'publish' && price !== '', total_sales: fields.total_sales,
        virtual: fields.virtual, downloadable: fields.downloadable, downloads: fields.downloads,
        download_limit: fields.download_limit, download_expiry: fields.download_expiry, external_url: fields.external_url,
        button_text: fields.button_text, tax_status: fields.tax_status, tax_class: fields.tax_class,
        manage_stock: fields.manage_stock, stock_quantity: fields.stock_quantity, backorders: fields.backorders,
        backorders_allowed: fields.backorders !== 'no', backordered: fields.stock_status === 'onbackorder',
        low_stock_amount: fields.low_stock_amount, sold_individually: fields.sold_individually, weight: fields.weight,
        dimensions: fields.dimensions, shipping_required: !fields.virtual, shipping_taxable: fields.tax_status === 'taxable',
        shipping_class: fields.shipping_class, shipping_class_id: 0, reviews_allowed: fields.reviews_allowed,
        average_rating: '0.00', rating_count: 0, upsell_ids: fields.upsell_ids, cross_sell_ids: fields.cross_sell_ids,
        parent_id: fields.parent_id, purchase_note: fields.purchase_note, categories: fields.categories,
        brands: fields.brands, tags: fields.tags, images: fields.images, attributes: fields.attributes,
        default_attributes: fields.default_attributes, variations: [], grouped_products: fields.grouped_products,
        menu_order: fields.menu_order, price_html: price === '' ? '' : `<span class="amount">${price}</span>`, related_ids: [],
        meta_data: fields.meta_data, stock_status: fields.stock_status, has_options: false, post_password: '',
        _links: { self: [{ href: `${api}/${id}` }], collection: [{ href: api }] },
    };
}

const dates = (clock, name, seconds) => ({
    [name]: seconds === null ? null : clock.local(seconds),
    [`${name}_gmt`]: seconds === null ? null : clock.gmt(seconds),
});

function isOnSale(fields, now) {
    return fields.sale_price !== '' && Number(fields.sale_price) < Number(fields.regular_price)
        && (fields.date_on_sale_from === null || fields.date_on_sale_from <= now)
        && (fields.date_on_sale_to === null || fields.date_on_sale_to > now);
}
