// Signing in at an identity provider: OpenID Connect's code flow with PKCE (RFC 7636), as
// a public client. What is kept on the way is of the tab and used once.

import { Problem, askJSON, session } from './api.js';

const kept = 'larder-signing-in';

// provider is what the node says of the identity provider; null if there is none.
export async function provider() {
  const told = await askJSON('signin.json');
  return told.client_id ? told : null;
}

// begin leaves the page for the provider's.
export async function begin(told) {
  const { authorization_endpoint: authorize } = await documentOf(told);
  const way = { verifier: random(), state: random(), nonce: random(), back: location.hash };
  if (!crypto.subtle) fail('A browser does this over HTTPS only. Ask for the page so, or sign in with a token.');
  const challenge = encode(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(way.verifier))));
  sessionStorage.setItem(kept, JSON.stringify(way));
  const url = new URL(authorize);
  const asked = {
    response_type: 'code', client_id: told.client_id, redirect_uri: here(), scope: 'openid profile email', state: way.state, nonce: way.nonce,
    code_challenge: challenge, code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  location.assign(url);
}

// finish takes up what the provider sent back, if it has just done so, and keeps the
// token that it gives.
export async function finish() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has('state')) return;
  const way = JSON.parse(sessionStorage.getItem(kept) ?? 'null');
  sessionStorage.removeItem(kept);
  history.replaceState(null, '', here() + (way?.back ?? ''));
  if (!way || way.state !== answer.get('state')) fail('The provider answered something that this tab did not ask. Sign in once more.');
  if (!answer.has('code')) fail(`The provider says: ${answer.get('error_description') ?? answer.get('error') ?? 'nothing'}.`);
  const told = await provider();
  const { token_endpoint: endpoint } = await documentOf(told);
  const form = new URLSearchParams({
    grant_type: 'authorization_code', code: answer.get('code'), redirect_uri: here(), client_id: told.client_id, code_verifier: way.verifier,
  });
  const tokens = await fetched(endpoint, { method: 'POST', body: form });
  if (claimsOf(tokens.id_token)?.nonce !== way.nonce) fail('The token that the provider gave is not of this sign-in.');
  session.token = [tokens.access_token, tokens.id_token].find((token) => [claimsOf(token)?.aud].flat().includes(told.audience)) ?? tokens.id_token;
}

function here() {
  return location.origin + location.pathname;
}

function documentOf({ issuer }) {
  return fetched(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
}

async function fetched(url, options) {
  try {
    const answer = await fetch(url, { ...options, credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(20000) });
    const body = await answer.json();
    if (answer.ok) return body;
    return fail(`The provider answered ${answer.status}: ${body.error_description ?? body.error ?? ''}`);
  } catch (error) {
    if (error instanceof Problem) throw error;
    return fail(`The provider at ${new URL(url).origin} does not answer this page. It has to let the page's origin ask (CORS).`);
  }
}

function fail(detail) {
  throw new Problem(401, { title: 'Not signed in', detail });
}

// claimsOf reads a JSON Web Token, which the node will verify; null if it is none.
function claimsOf(token) {
  try {
    const bytes = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

function random() {
  return encode(crypto.getRandomValues(new Uint8Array(32)));
}

function encode(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
