// Numbers and times as people read them.

export function bytes(n) {
  if (n === null || n === undefined) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toPrecision(3)} ${units[unit]}`;
}

// span is a length of time, of seconds.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return '';
  const steps = [[86400, 'd', 3600, 'h'], [3600, 'h', 60, 'min'], [60, 'min', 1, 's']];
  for (const [size, name, next, nextName] of steps) {
    if (seconds < size) continue;
    const whole = Math.floor(seconds / size);
    const rest = Math.floor((seconds - whole * size) / next);
    return rest && whole < 100 ? `${whole} ${name} ${rest} ${nextName}` : `${whole} ${name}`;
  }
  if (seconds >= 10) return `${Math.round(seconds)} s`;
  return seconds >= 1 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds * 1000)} ms`;
}

// hours is a sum of time that was saved.
export function hours(seconds) {
  const n = seconds / 3600;
  return n >= 100 ? `${number(Math.round(n))} h` : n >= 1 ? `${n.toFixed(1)} h` : span(seconds);
}

// ago is how long ago a moment was, or how soon it comes.
export function ago(moment) {
  const seconds = (Date.now() - new Date(moment)) / 1000;
  if (Math.abs(seconds) < 10) return 'just now';
  const text = span(Math.abs(seconds)).replace(/ \d+ (min|s)$/, '');
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

// when is a moment in the reader's zone.
export function when(moment) {
  return new Date(moment).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

export function number(n) {
  return n.toLocaleString('en').replaceAll(',', '\u202f');
}

export function plural(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export function percent(part, of) {
  if (!of) return '–';
  const p = 100 * part / of;
  return `${p >= 99.95 || p === 0 ? Math.round(p) : p.toFixed(1)} %`;
}

export function money(n) {
  return n === null || n === undefined ? '' : number(n >= 100 ? Math.round(n) : Number(n.toFixed(2)));
}

// shortDate is the date of an environment, without a time of day that is midnight in UTC.
export function shortDate(date) {
  return date.replace(/T00:00:00(\.0+)?(Z|\+00:00)$/, '');
}
