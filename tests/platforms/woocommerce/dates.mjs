// The shop's clock: whole seconds, written without a zone letter, once in the shop's own zone and once in UTC.
const DATE_TIME = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.\d+)?(Z|z|[+-]\d{2}(?::?\d{2})?)?$/;

export class Clock {
    // offsetMinutes: the shop's zone, minutes east of UTC. skewMs: how far the shop's clock is ahead of ours.
    constructor({ offsetMinutes = 0, skewMs = 0 } = {}) {
        this.offsetMinutes = offsetMinutes;
        this.skewMs = skewMs;
    }

    nowSeconds() {
        return Math.floor((Date.now() + this.skewMs) / 1000);
    }

    gmt(seconds) {
        return new Date(seconds * 1000).toISOString().slice(0, 19);
    }

    local(seconds) {
        return this.gmt(seconds + this.offsetMinutes * 60);
    }

    // A written date in a body: 'seconds since 1970', or null if it is not one. Without a zone the text is UTC if isGmt, else local.
    parse(text, isGmt) {
        const match = DATE_TIME.exec(text);
        if (!match) {
            return null;
        }
        const seconds = Date.parse(`${match[1]}T${match[2]}Z`) / 1000;
        if (Number.isNaN(seconds)) {
            return null;
        }
        if (match[3]) {
            return seconds - zoneMinutes(match[3]) * 60;
        }
        return isGmt ? seconds : seconds - this.offsetMinutes * 60;
    }

    // A bound in a list query becomes text that is compared with a date column. A bound with a zone is always turned into the
    // shop's own time first, also when the column is the UTC one: dates_are_gmt together with 'Z' is off by the zone.
    bound(text) {
        const match = DATE_TIME.exec(text);
        if (!match) {
            return null;
        }
        if (!match[3]) {
            return `${match[1]}T${match[2]}`;
        }
        const seconds = this.parse(text, true);
        return seconds === null ? null : this.local(seconds);
    }
}

function zoneMinutes(zone) {
    if (zone === 'Z' || zone === 'z') {
        return 0;
    }
    const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
    const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
    return zone[0] === '-' ? -minutes : minutes;
}
