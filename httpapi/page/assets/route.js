// Addresses of views, after the '#': they go to no server and into no log.

// routeOf reads an address: #/find?prefix=AAPL, #/object/objects/KEY.
export function routeOf(hash) {
  const [path, query = ''] = split(hash.replace(/^#\/?/, ''), '?');
  const [view, service, ...key] = path.split('/');
  let name = key.join('/');
  try {
    name = decodeURIComponent(name);
  } catch { /* typed by hand: it is the key as it stands */ }
  return { view: view || 'find', service: service || '', key: name, query: Object.fromEntries(new URLSearchParams(query)) };
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

export function objectRoute(service, key) {
  return `#/object/${service}/${encodeURIComponent(key)}`;
}

export function findRoute(query) {
  const filled = Object.entries(query).filter(([, value]) => value !== '' && value !== undefined);
  const text = new URLSearchParams(filled).toString();
  return text ? `#/find?${text}` : '#/find';
}
