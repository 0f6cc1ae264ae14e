// The shop of the demo: what both sides hold at the start, and what they must hold after each event. The demo's own book: nothing in
// here is learnt from lockstep.
import { execFileSync } from 'node:child_process';

export const PRODUCTS = 2000;
export const IN_STORE = 1900;
export const FIELDS = ['name', 'price', 'inventory', 'description'];
const STALE_PRICES = 60;
const STALE_STOCKS = 40;

const COLOURS = ['Red', 'Blue', 'Green', 'White', 'Black', 'Amber', 'Grey'];
const THINGS = ['mug', 'lamp', 'chair', 'scarf', 'notebook', 'kettle', 'blanket', 'clock', 'vase', 'tray', 'bowl'];

const REMOTE_NAMES = { name: 'name', price: 'regular_price', inventory: 'stock_quantity', description: 'description' };

export function makeWorld() {
    const products = [];
    for (let id = 1; id <= PRODUCTS; id++) {
        products.push({
            id, sku: `DEMO-${String(id).padStart(4, '0')}`, name: `${COLOURS[id % 7]} ${THINGS[id % 11]} no. ${id}`,
            price: money(500 + ((id * 37) % 9500)), inventory: (id * 13) % 200, description: `<p>Made by hand, piece ${id} of ${PRODUCTS}.</p>`,
        });
    }
    return products;
}

export const money = (cents) => `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;

export function makeDatabase(path, products) {
    const rows = products.map(({ id, sku, name, price, inventory, description }) =>
        `(${id},${text(sku)},${text(name)},${text(price)},${inventory},${text(description)})`);
    runSql(path, `PRAGMA journal_mode=WAL;
CREATE TABLE products (
    id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT NOT NULL, price TEXT NOT NULL, inventory INTEGER, description TEXT,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
BEGIN;
INSERT INTO products (id, sku, name, price, inventory, description) VALUES ${rows.join(',\n')};
COMMIT;`);
}

// The store knows the first 1,900; some prices and stocks there are old. The book already holds who is right: prices are ours, stock is theirs.
export function stockStore(products) {
    return products.slice(0, IN_STORE).map((product, at) => {
        const staleStock = at >= STALE_PRICES && at < STALE_PRICES + STALE_STOCKS;
        if (staleStock) {
            product.inventory += 500;
        }
        return {
            sku: product.sku, name: product.name, regular_price: at < STALE_PRICES ? '1.00' : product.price, manage_stock: true,
            stock_quantity: product.inventory, description: product.description, date_modified_gmt: '2026-01-15T09:00:00',
        };
    });
}

export const START = { creates: PRODUCTS - IN_STORE, prices: STALE_PRICES, stocks: STALE_STOCKS };

// A change by the application: straight into its own table, lockstep is not told.
export function editRows(path, edits) {
    const updates = edits.map(({ product, fields }) => {
        const parts = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === 'number' ? value : text(value)}`);
        return `UPDATE products SET ${parts.join(', ')}, updated_at=CURRENT_TIMESTAMP WHERE id=${product.id};`;
    });
    runSql(path, `BEGIN IMMEDIATE;\n${updates.join('\n')}\nCOMMIT;`);
}

export function readRows(path) {
    const rows = JSON.parse(runSql(path, 'SELECT id, sku, name, price, inventory, description FROM products ORDER BY id;', ['-json', '-readonly']) || '[]');
    return rows.map((row) => ({ ...row, price: String(row.price) }));
}

export const asRemote = (fields) => Object.fromEntries(Object.entries(fields).map(([name, value]) => [REMOTE_NAMES[name], value]));

export function fromRemote(product) {
    return {
        remoteId: product.id, sku: product.sku, name: product.name, price: product.regular_price, inventory: product.stock_quantity,
        description: product.description, status: product.status,
    };
}

// Prices are compared as amounts: a database may write 12.5 where the shop writes 12.50.
export const sameValue = (field, a, b) => (field === 'price' ? Math.round(Number(a) * 100) === Math.round(Number(b) * 100) && a !== '' && b !== '' : a === b);

export function runSql(path, sql, options = []) {
    return execFileSync('sqlite3', ['-cmd', '.timeout 5000', ...options, path], { input: sql, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

const text = (value) => `'${String(value).replaceAll("'", "''")}'`;
