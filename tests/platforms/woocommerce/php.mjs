// How PHP reads a query string and writes JSON; clients meet both on the wire.

// Text a=1&b[]=2&c[k]=3 -> {a: '1', b: {0: '2'}, c: {k: '3'}}; names keep the order of arrival, as PHP's arrays do.
// Values are strings or one-level maps; deeper nesting does not occur in this API's queries.
export function parseQuery(text) {
    const query = Object.create(null);
    if (!text) {
        return query;
    }
    for (const pair of text.split('&')) {
        if (!pair) {
            continue;
        }
        const equals = pair.indexOf('=');
        const name = decode(equals < 0 ? pair : pair.slice(0, equals));
        const value = equals < 0 ? '' : decode(pair.slice(equals + 1));
        const bracket = name.indexOf('[');
        if (bracket <= 0 || !name.endsWith(']')) {
            query[name] = value;
            continue;
        }
        const outer = name.slice(0, bracket);
        const inner = name.slice(bracket + 1, -1);
        if (typeof query[outer] !== 'object') {
            query[outer] = {};
        }
        query[outer][inner === '' ? Object.keys(query[outer]).length : inner] = value;
    }
    return query;
}

function decode(text) {
    const spaced = text.replaceAll('+', ' ');
    try {
        return decodeURIComponent(spaced);
    } catch {
        return spaced.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    }
}

export const encodeRfc3986 = (text) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());

// PHP has one kind of array, so an empty map is written as []; slashes and everything outside ASCII are escaped.
export function encodeJson(value) {
    return JSON.stringify(value, emptyMapToList)
        .replaceAll('/', '\\/')
        .replace(/[\u0080-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

function emptyMapToList(_, value) {
    return value && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0 ? [] : value;
}

// The body of a request, or undefined if it is not JSON in valid UTF-8.
export function decodeJson(bytes) {
    try {
        return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
        return undefined;
    }
}
