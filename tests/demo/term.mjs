// What the demo says: numbered steps, ticks, timings, one progress bar, one table. No colour and no redrawing unless on a terminal.
const isTerminal = Boolean(process.stdout.isTTY) && process.env.TERM !== 'dumb' && !process.env.NO_COLOR;
const WIDTH = 92;
const BAR_WIDTH = 32;

const paint = (code) => (text) => (isTerminal ? `\u001b[${code}m${text}\u001b[0m` : String(text));
export const bold = paint('1');
export const dim = paint('2');
export const green = paint('32');
export const yellow = paint('33');
export const red = paint('31');

export const count = (number) => number.toLocaleString('en-US');

let steps = 0;

export function step(title) {
    line('');
    line(`${bold(String(++steps).padStart(2))}  ${bold(title)}`);
}

export const line = (text) => process.stdout.write(`${text}\n`);
export const note = (text) => line(`    ${dim(text)}`);
export const command = (text) => line(`    ${dim('$')} ${text}`);
export const done = (text, startedAt) => mark(green('✓'), text, startedAt);
export const warn = (text) => mark(yellow('!'), text);
export const fail = (text) => mark(red('✗'), text);

// What a command printed, indented; the first lines of it, cut to the terminal.
export function quote(text, most = 6) {
    const lines = text.trimEnd().split('\n').filter(Boolean);
    const width = isTerminal ? Math.max(60, process.stdout.columns ?? 100) : 160;
    lines.slice(0, most).forEach((row) => line(dim(`      ${row}`.slice(0, width))));
}

function mark(sign, text, startedAt) {
    const time = startedAt === undefined ? '' : `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
    const gap = Math.max(2, WIDTH - 6 - text.length - time.length);
    line(`    ${sign} ${text}${time && ' '.repeat(gap) + dim(time)}`);
}

// show(done, total) redraws one line on a terminal; elsewhere it says nothing until the end.
export function progressBar(label) {
    return {
        show(value, total) {
            if (isTerminal) {
                const filled = total > 0 ? Math.round((value / total) * BAR_WIDTH) : 0;
                process.stdout.write(`\r    ${label} ${green('█'.repeat(filled))}${dim('░'.repeat(BAR_WIDTH - filled))} ${count(value)}/${count(total)}\u001b[K`);
            }
        },
        end() {
            if (isTerminal) {
                process.stdout.write('\r\u001b[K');
            }
        },
    };
}

// rows of cells; the first row is the head. Cells are plain text, paintCell may colour them.
export function table(rows, paintCell = (text) => text) {
    const widths = rows[0].map((_, at) => Math.max(...rows.map((row) => String(row[at]).length)));
    rows.forEach((row, number) => {
        const cells = row.map((cell, at) => String(cell).padEnd(widths[at]));
        line(`    ${number === 0 ? dim(cells.join('  ').trimEnd()) : cells.map((cell, at) => paintCell(cell, at)).join('  ').trimEnd()}`);
        if (number === 0) {
            line(dim(`    ${widths.map((width) => '─'.repeat(width)).join('  ')}`));
        }
    });
}
