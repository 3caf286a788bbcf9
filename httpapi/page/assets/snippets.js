// What to type elsewhere to get an object.

// text is a literal of Python. JSON's is one but for what it leaves as it is and a
// terminal or an editor may not show.
function text(s) {
  return JSON.stringify(s).replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069\u200b-\u200f\ufeff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function python(origin, service, key) {
  const get = service === 'strategies' ? `strategy_service().get_strategy_by_key(${text(key)})` : `object_service().get(${text(key)})`;
  const url = JSON.stringify(origin);
  return `import larder  # LARDER_TOKEN holds your token, if you need one\n\nenv = larder.init(env_date="${new Date().toISOString().slice(0, 10)}", client=larder.Client(${url}))\nvalue = env.${get}`;
}

// quoted is one word of a shell.
function quoted(s) {
  return `'${s.replaceAll("'", "'\\''")}'`;
}

export function curl(origin, service, key, signed) {
  const url = quoted(`${origin}/v1/${service}?key=${encodeURIComponent(key).replaceAll("'", '%27')}`);
  return `curl ${signed ? '-H "Authorization: Bearer $LARDER_TOKEN" ' : ''}-o object ${url}`;
}
