// The frame of the page: who is signed in, which view is shown, and what is said when
// the node is away. A view is a module with a title and show(box, route, signal), whose
// signal ends when another view is shown.

import { h, problemBox, say } from './dom.js';
import { Problem, askJSON, session, whenLost, whenSignedOut } from './api.js';
import { routeOf } from './route.js';
import { toggle } from './theme.js';
import * as find from './find.js';
import * as object from './object.js';
import * as builds from './builds.js';
import * as saved from './saved.js';
import * as cluster from './cluster.js';
import * as signin from './signin.js';
import { finish } from './oidc.js';

const views = { find, object, builds, saved, cluster };
const box = document.getElementById('view');
const banner = document.getElementById('banner');
let leaving = new AbortController();

async function show(view, route) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  document.title = `${view.title} – Larder`;
  box.replaceChildren();
  box.setAttribute('aria-busy', 'true');
  showNav(view);
  try {
    const shown = view.show(box, route, signal);
    focusHeading();
    await shown;
  } catch (problem) {
    if (signal.aborted) return;
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 401) box.replaceChildren(problemBox(problem, go));
  } finally {
    if (!signal.aborted) box.removeAttribute('aria-busy');
  }
}

// focusHeading lets who hears the page begin with the view, unless the view has put the
// focus where it is needed.
function focusHeading() {
  const heading = box.querySelector('h1');
  if (document.activeElement !== document.body || !heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

function showNav(current) {
  const links = [['find', 'Find'], ['builds', 'Builds'], ['saved', 'Saved']];
  if (session.may('admin')) links.push(['cluster', 'Cluster']);
  document.getElementById('nav').replaceChildren(...(session.who ? links : []).map(([name, text]) =>
    h('a', { href: `#/${name}`, 'aria-current': views[name] === current ? 'page' : name === 'find' && current === object ? 'true' : null }, text)));
  const who = session.who;
  document.getElementById('account').replaceChildren(
    who ? h('span', { class: 'who', title: `role: ${who.role}` }, h('bdi', {}, who.user), h('span', { class: 'faint' }, ` · ${who.org} · ${who.role}`)) : '',
    toggle(),
    session.token ? h('button', { type: 'button', class: 'quiet', onclick: signOut }, 'Sign out') : '');
}

// go shows what the address says, for whoever is signed in.
async function go() {
  banner.replaceChildren();
  if (!session.who) return enter();
  const route = routeOf(location.hash);
  const view = views[route.view] ?? find;
  await show(view, route);
}

// enter finds out who is there. A laptop's node takes everybody.
async function enter(problem) {
  try {
    session.who = await askJSON('/v1/whoami');
    await go();
  } catch (error) {
    if (error.status === 401) return; // whenSignedOut shows the way in
    await show({ title: 'No answer', show: () => { throw error; } });
  }
}

function signOut() {
  session.token = '';
  session.who = null;
  say('Signed out');
  enter();
}

whenSignedOut((problem) => {
  const had = session.token !== '';
  session.token = '';
  session.who = null;
  askToSignIn(had ? problem : null);
});

function askToSignIn(problem) {
  show(signin, { problem, signedIn: enter });
}

// While the node does not answer the page asks again and again, and shows the view anew
// when it does.
let lost = false;
whenLost(async () => {
  if (lost) return;
  lost = true;
  banner.replaceChildren(h('p', {}, h('strong', {}, 'The node does not answer. '), 'What you see may be out of date. The page goes on when the node is back.'));
  while (lost) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    try {
      await askJSON('/v1/whoami', { limit: 5000 });
      lost = false;
    } catch (problem) {
      lost = problem.status === 0;
    }
  }
  say('The node answers again');
  await go();
});

window.addEventListener('hashchange', go);
window.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, textarea, select, dialog');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.getElementById('prefix');
    if (search) search.focus(); else location.hash = '#/find';
    event.preventDefault();
  }
});
finish().then(go, (problem) => {
  if (!(problem instanceof Problem)) throw problem;
  askToSignIn(problem);
});
