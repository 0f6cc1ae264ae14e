// Errors as the shop words them: {code, message, data: {status, ...}}.
export class ShopError extends Error {
    constructor(status, code, message, data = {}) {
        super(message);
        this.status = status;
        this.code = code;
        this.data = { status, ...data };
    }

    toBody() {
        return { code: this.code, message: this.message, data: this.data };
    }
}

export const invalidId = (status) => new ShopError(status, 'woocommerce_rest_product_invalid_id', 'Invalid ID.');

export const noRoute = () =>
    new ShopError(404, 'rest_no_route', 'No route was found matching the URL and request method.');

// problems: [{param, code, message, data}], one a parameter.
export function invalidParams(problems) {
    const params = {};
    const details = {};
    for (const { param, code, message, data = null } of problems) {
        params[param] = message;
        details[param] = { code, message, data };
    }
    const names = Object.keys(params).join(', ');
    return new ShopError(400, 'rest_invalid_param', `Invalid parameter(s): ${names}`, { params, details });
}

// a, b, and c
export function enumerate(words) {
    return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')}, and ${words.at(-1)}`;
}
