// What the page filters and sorts by itself, of keys that the node listed.

export const ages = [['', 'any time'], ['-3600', 'in the last hour'], ['-86400', 'in the last day'], ['-604800', 'in the last week'], ['604800', 'more than a week ago'], ['2592000', 'more than a month ago']];
export const sizes = [['', 'any'], ['-1048576', 'less than 1 MiB'], ['1048576', 'at least 1 MiB'], ['104857600', 'at least 100 MiB'], ['1073741824', 'at least 1 GiB']];

// needsLook reports whether a query wants more than the node's own order and filters.
export function needsLook(query) {
  return Boolean(query.sort || query.writer || query.library || query.age || query.size);
}

// fits reports whether a key passes the filters. What is not known of it does not pass.
export function fits(entry, query) {
  if (query.writer && !(entry.writer ?? '').toLowerCase().includes(query.writer.toLowerCase())) return false;
  if (query.library && !hasLibrary(entry.libraries, query.library)) return false;
  return within((Date.now() - new Date(entry.modified)) / 1000, query.age) && within(entry.size, query.size);
}

// within takes at most n for "-n", and at least n for "n".
function within(value, bound) {
  const n = Number(bound ?? 0);
  if (!n) return true;
  return n < 0 ? value < -n : value >= n;
}

function hasLibrary(libraries, wanted) {
  const [name, version = ''] = wanted.toLowerCase().split(/[= ]+/);
  return pairs(libraries).some(([n, v]) => n.toLowerCase() === name && v.startsWith(version));
}

// pairs are names and versions, of "pandas=2.2.1 numpy=1.26" or of a mapping.
export function pairs(libraries) {
  if (!libraries) return [];
  if (typeof libraries === 'object') return Object.entries(libraries);
  return libraries.split(' ').filter(Boolean).map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
  });
}

// sorted is in the order of a field, "-" before it for the reverse. What is not known
// comes last.
export function sorted(keys, sort) {
  if (!sort) return keys;
  const down = sort.startsWith('-');
  const field = down ? sort.slice(1) : sort;
  const value = (entry) => (field === 'modified' || field === 'expires') && entry[field] ? new Date(entry[field]).getTime() : entry[field];
  const none = (v) => v === undefined || v === null || v === '';
  return [...keys].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (none(x) || none(y)) return none(x) - none(y);
    const order = x < y ? -1 : x > y ? 1 : 0;
    return down ? -order : order;
  });
}
