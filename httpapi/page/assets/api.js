// Requests to the node. The token is kept for the tab alone, and is sent as a bearer
// token by this file and by nothing else; there are no cookies.

const kept = 'larder-token';

export const session = {
  who: null, // what /v1/whoami answered
  get token() { return sessionStorage.getItem(kept) ?? ''; },
  set token(token) { token ? sessionStorage.setItem(kept, token) : sessionStorage.removeItem(kept); },
  may(role) {
    const roles = ['reader', 'writer', 'admin'];
    return roles.indexOf(this.who?.role) >= roles.indexOf(role);
  },
};

// Problem is what kept a request from being answered, in the node's words where there
// are any. Its status is 0 if there was no answer.
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail);
    Object.assign(this, { status, title: body.title, detail: body.detail, request: body.request ?? '', retryAfter });
    this.type = (body.type ?? '').replace('urn:larder:problem:', '');
  }
}

// onSignedOut is called with the problem when the node no longer takes the token.
let onSignedOut = () => {};
export function whenSignedOut(f) { onSignedOut = f; }

// onLost is called when the node does not answer.
let onLost = () => {};
export function whenLost(f) { onLost = f; }

// ask sends a request and returns the answer, or throws a Problem, or an AbortError if
// its signal says so.
export async function ask(path, { signal, limit = 30000, ...options } = {}) {
  const headers = new Headers({ Accept: 'application/json', ...options.headers, 'X-Requested-With': 'fetch' });
  if (session.token) headers.set('Authorization', `Bearer ${session.token}`);
  const signals = [AbortSignal.timeout(limit), ...(signal ? [signal] : [])];
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, signal: AbortSignal.any(signals), cache: 'no-store', redirect: 'error' });
  } catch (error) {
    if (signal?.aborted) throw error;
    onLost();
    throw new Problem(0, { title: 'No answer', detail: 'The node does not answer. It may have stopped, or the network is down. The page goes on by itself when it answers again.' });
  }
  if (!answer.headers.has('Larder-Request')) {
    throw new Problem(answer.status, { title: 'Not Larder', detail: `Something between this browser and the node answered ${answer.status} in its place.` });
  }
  if (answer.ok || answer.status === 304) return answer;
  const problem = new Problem(answer.status, await problemOf(answer), Number(answer.headers.get('Retry-After')));
  if (problem.status === 401) onSignedOut(problem);
  throw problem;
}

// problemOf reads the problem of an answer; that to a HEAD has none.
async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { title: `Answered ${answer.status}`, detail: answer.statusText || 'The node gave no reason.', request: answer.headers.get('Larder-Request') };
  }
}

export async function askJSON(path, options) {
  return (await ask(path, options)).json();
}

// objectPath is the path of an object. Its key goes into the query: a browser would
// take ".." in a path for a way up.
export function objectPath(service, key, what = '') {
  return `/v1/${what}${service}?key=${encodeURIComponent(key)}`;
}

// list asks for a page of keys, with what is known of each where the node says that.
let knowsMeta = true;
export async function list(service, query, options) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '' && value !== undefined));
  if (knowsMeta) {
    try {
      return await askJSON(`/v1/${service}?${parameters}&meta=true`, options);
    } catch (problem) {
      if (problem.type !== 'bad-query' || !problem.detail.includes('meta')) throw problem;
      knowsMeta = false; // an older node
    }
  }
  return askJSON(`/v1/${service}?${parameters}`, options);
}
