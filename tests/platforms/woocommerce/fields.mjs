// The _fields parameter: id,dimensions.length. A path into a list of objects finds nothing, as on the real thing.
export function findPaths(text) {
    const names = typeof text === 'object' ? Object.values(text) : (text ?? '').split(/[\s,]+/);
    const tree = {};
    for (const name of names.filter(Boolean)) {
        let at = tree;
        const steps = name.split('.');
        steps.forEach((step, depth) => {
            const isLast = depth === steps.length - 1;
            if (at === true) {
                return;
            }
            at[step] = isLast || at[step] === true ? true : at[step] ?? {};
            at = at[step];
        });
    }
    return Object.keys(tree).length > 0 ? tree : null;
}

export function pick(value, tree) {
    const picked = {};
    for (const name of Object.keys(value)) {
        const branch = tree[name];
        if (branch === true) {
            picked[name] = value[name];
        } else if (branch !== undefined && value[name] !== null && typeof value[name] === 'object') {
            picked[name] = pick(value[name], branch);
        }
    }
    return picked;
}
