// The shop's data: products with their indexes, and what can be done to them through the API or by a person.
import { ShopError, invalidId } from './errors.mjs';
import { Product } from './product.mjs';

export class Shop {
    constructor({ clock, url }) {
        this.clock = clock;
        this.url = url;
        this.products = new Map();
        this.idsBySku = new Map();
        this.idsBySlug = new Map();
        this.orders = new Map();
        this.refusals = [];
        this.journal = [];
        this.version = 0;
        this.lastId = 10;
        this.lastMetaId = 100;
    }

    nextId() {
        return ++this.lastId;
    }

    nextMetaId() {
        return ++this.lastMetaId;
    }

    find(id) {
        return this.products.get(Number(id)) ?? null;
    }

    // Who holds a SKU; products in the trash have let go of theirs.
    holdersOf(sku) {
        return [...(this.idsBySku.get(sku) ?? [])].map((id) => this.products.get(id)).filter((product) => !product.isTrashed());
    }

    create(body, by = 'api') {
        this.refuse(body, null);
        this.demandFreeSku(body.sku, null);
        const product = new Product(this, this.nextId());
        product.write({ ...body, name: body.name ?? 'Product' });
        this.nameSlug(product, body.slug);
        this.products.set(product.id, product);
        this.index(product, null);
        this.record('create', product, by);
        return product;
    }

    update(product, body, by = 'api') {
        this.refuse(body, product);
        this.demandFreeSku(body.sku, product);
        const before = { ...product.fields };
        product.write(body);
        if (before.status === 'trash' && !product.isTrashed() && product.slugBeforeTrash !== null) {
            product.fields.slug = product.slugBeforeTrash;
        } else if (body.slug) {
            this.nameSlug(product, body.slug);
        }
        product.touch();
        this.index(product, before);
        this.record('update', product, by);
        return product;
    }

    // Answers what the API shows: the product as it was before.
    remove(product, force, by = 'api') {
        const text = product.showText();
        if (force) {
            this.products.delete(product.id);
            this.idsBySku.get(product.fields.sku)?.delete(product.id);
            this.idsBySlug.delete(product.fields.slug);
        } else {
            if (product.isTrashed()) {
                throw new ShopError(410, 'woocommerce_rest_already_trashed', 'The product has already been deleted.');
            }
            const before = { ...product.fields };
            product.trash();
            this.index(product, before);
        }
        this.record(force ? 'delete' : 'trash', product, by);
        return text;
    }

    // Stock that moves without a save of the product.
    setStock(product, quantity, by = 'stock') {
        product.setStock(quantity);
        this.record('stock', product, by);
    }

    setModified(product, seconds) {
        product.modified = seconds;
        product.changed();
        this.version++;
    }

    get(id, status) {
        const product = this.find(id);
        if (!product) {
            throw invalidId(status);
        }
        return product;
    }

    demandFreeSku(sku, product) {
        const wanted = sku === undefined || sku === null ? '' : String(sku).trim();
        if (wanted === '' || wanted === product?.fields.sku) {
            return;
        }
        const holder = this.holdersOf(wanted).find((other) => other !== product);
        if (holder) {
            throw new ShopError(400, 'product_invalid_sku', 'Invalid or duplicated SKU.',
                { resource_id: holder.id, unique_sku: this.freeSku(wanted) });
        }
    }

    freeSku(sku) {
        let at = 1;
        while (this.holdersOf(`${sku}-${at}`).length > 0) {
            at++;
        }
        return `${sku}-${at}`;
    }

    // Products the shop refuses to save, as an add-on with rules of its own would.
    refuse(body, product) {
        for (const rule of this.refusals) {
            const hit = (rule.sku !== undefined && (rule.sku === body.sku || rule.sku === product?.fields.sku))
                || (rule.name !== undefined && (rule.name === body.name || rule.name === product?.fields.name))
                || (rule.id !== undefined && rule.id === product?.id);
            if (hit) {
                throw new ShopError(rule.status ?? 400, rule.code ?? 'woocommerce_rest_product_refused',
                    rule.message ?? 'The product cannot be saved.');
            }
        }
    }

    nameSlug(product, wanted) {
        const base = (wanted || product.fields.name).toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '') || String(product.id);
        let slug = base;
        for (let at = 2; this.idsBySlug.has(slug) && this.idsBySlug.get(slug) !== product.id; at++) {
            slug = `${base}-${at}`;
        }
        product.fields.slug = slug;
        product.changed();
    }

    index(product, before) {
        const { sku, slug } = product.fields;
        if (before && before.sku !== sku) {
            this.idsBySku.get(before.sku)?.delete(product.id);
        }
        if (sku !== '') {
            if (!this.idsBySku.has(sku)) {
                this.idsBySku.set(sku, new Set());
            }
            this.idsBySku.get(sku).add(product.id);
        }
        if (before && before.slug !== slug) {
            this.idsBySlug.delete(before.slug);
        }
        this.idsBySlug.set(slug, product.id);
    }

    record(op, product, by) {
        this.version++;
        this.journal.push({ at: Date.now(), op, id: product.id, sku: product.fields.sku, by });
    }

    duplicateSkus() {
        return [...this.idsBySku.keys()].filter((sku) => this.holdersOf(sku).length > 1);
    }

    // An order takes its goods from stock; the products' dates stay unless movesDate.
    createOrder(body, movesDate) {
        const lines = (body.line_items ?? []).map((line) => ({
            id: this.nextMetaId(), product_id: Number(line.product_id) || 0, quantity: Number(line.quantity) || 1, sku: '', name: '',
        }));
        const status = body.set_paid ? 'processing' : body.status ?? 'pending';
        const now = this.clock.nowSeconds();
        const order = { id: this.nextId(), status, date_created_gmt: this.clock.gmt(now), date_modified_gmt: this.clock.gmt(now), line_items: lines };
        for (const line of lines) {
            const product = this.find(line.product_id);
            if (!product) {
                continue;
            }
            line.sku = product.fields.sku;
            line.name = product.fields.name;
            if (product.fields.manage_stock && ['processing', 'completed', 'on-hold'].includes(status)) {
                this.setStock(product, product.fields.stock_quantity - line.quantity, 'order');
                if (movesDate) {
                    product.touch();
                }
            }
        }
        this.orders.set(order.id, order);
        return order;
    }
}

// Made-up goods for a shop that starts full.
export function* sampleProducts(count) {
    const things = ['mug', 'lamp', 'chair', 'scarf', 'notebook', 'kettle', 'blanket', 'clock'];
    const colours = ['Red', 'Blue', 'Green', 'White', 'Black', 'Amber', 'Grey'];
    for (let at = 1; at <= count; at++) {
        yield {
            name: `${colours[at % colours.length]} ${things[at % things.length]} ${at}`,
            sku: `SKU-${String(at).padStart(5, '0')}`,
            regular_price: `${5 + (at % 90)}.${String((at * 7) % 100).padStart(2, '0')}`,
            description: `<p>Product number ${at}.</p>`,
            manage_stock: true,
            stock_quantity: (at * 13) % 200,
        };
    }
}
