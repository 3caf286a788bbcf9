// What is being built now, by whom, and who waits: asked again and again while the view
// is shown. A build that ends stays for a while, with what came of it.

import { confirm, h, keyText, problemBox, redraw, say } from './dom.js';
import { Problem, ask, askJSON, objectPath, session } from './api.js';
import { plural, span } from './format.js';
import { objectRoute } from './route.js';

export const title = 'Builds';

const pause = 2000; // ms between two looks
const remembered = 20; // builds that have ended

export async function show(box, route, signal) {
  const running = h('div', {}), ended = h('div', {}), trouble = h('div', {});
  box.replaceChildren(h('h1', {}, 'Builds'),
    h('p', { class: 'faint' }, 'Whoever asks for what nobody has stored yet builds it, and all others wait for that one build.'), trouble, running, ended);
  const state = { known: new Map(), over: [], first: true, trouble };
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await look(state, signal);
        render(state, running, ended);
      } catch (problem) {
        if (signal.aborted) return;
        if (!(problem instanceof Problem) || state.first || problem.status === 401) throw problem;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// look asks what is built now, and what became of what is no more.
async function look(state, signal) {
  const now = new Map();
  for (const service of ['objects', 'strategies']) {
    const answer = await askJSON(`/v1/builds/${service}`, { signal });
    for (const build of answer.builds) now.set(`${service} ${build.key}`, { ...build, service });
  }
  for (const [id, build] of state.known) {
    if (now.has(id)) continue;
    const stored = await isStored(build, signal);
    state.over.unshift({ ...build, stored, at: new Date() });
    say(`${build.key}: ${stored ? 'built' : 'ended without a value'}`);
  }
  for (const id of now.keys()) if (!state.known.has(id) && !state.first) say(`${now.get(id).key} is being built`);
  state.over.length = Math.min(state.over.length, remembered);
  state.known = now;
  state.first = false;
}

async function isStored({ service, key }, signal) {
  try {
    await ask(objectPath(service, key), { method: 'HEAD', signal });
    return true;
  } catch (problem) {
    if (problem.status === 404) return false;
    throw problem;
  }
}

function render(state, running, ended) {
  const all = [...state.known.values()].sort((a, b) => b.waiting - a.waiting || b.elapsed - a.elapsed);
  redraw(running, all.length === 0
    ? h('div', { class: 'empty card' }, h('h2', {}, 'Nothing is being built'), h('p', { class: 'faint' }, 'A build shows here as soon as it begins.'))
    : h('ul', { class: 'builds' }, all.map((build) => one(build, state))));
  redraw(ended, ...(state.over.length === 0 ? [] : [h('h2', { class: 'next' }, 'Ended while you looked'),
    h('ul', { class: 'over card' }, state.over.map((build) => h('li', {},
      h('a', { href: objectRoute(build.service, build.key) }, keyText(build.key)),
      h('span', { class: build.stored ? 'good' : 'faint' }, build.stored ? ' Built' : ' Ended without a value: given up, failed, or removed'),
      h('span', { class: 'faint' }, ` · ${build.at.toLocaleTimeString()}`))))]));
}

function one(build, state) {
  const mine = build.builder === session.who.user;
  const done = build.progress ?? (build.expect ? Math.min(build.elapsed / build.expect, 0.99) : null);
  const early = build.elapsed < 3 && !build.expect; // too early to tell
  const left = early ? null : build.progress && build.elapsed >= 3 ? build.elapsed / build.progress * (1 - build.progress) : build.expect ? build.expect - build.elapsed : null;
  return h('li', { class: 'card build' },
    h('div', { class: 'line' }, h('a', { href: objectRoute(build.service, build.key) }, keyText(build.key)),
      h('span', { class: build.waiting ? 'waiting' : 'faint' }, build.waiting ? plural(build.waiting, 'caller waits', 'callers wait') : 'nobody waits')),
    h('progress', { max: 1, value: done ?? undefined, 'aria-label': `Progress of ${build.key}` }),
    h('div', { class: 'line faint' },
      h('span', {}, build.builder ? h('bdi', {}, build.builder) : 'somebody', mine && ' (you)', ` · for ${span(build.elapsed)}`, build.message && [' · ', h('bdi', {}, build.message)]),
      h('span', {}, build.progress !== null && `${Math.round(100 * build.progress)} %`, expected(build, left))),
    session.may('writer') && (mine || session.may('admin')) && h('p', { class: 'buttons' },
      build.waiting > 0 && end(build, state, 'Pass on', `Whoever has waited longest builds it next${build.waiting > 1 ? ', and the others go on waiting' : ''}.`),
      end(build, state, 'Give up', build.waiting > 0 ? `${plural(build.waiting, 'caller')} who wait${build.waiting === 1 ? 's' : ''} for it will be told that the build failed.` : 'Whoever asks for it next builds it anew.',
        build.waiting > 0 ? `given up on the page by ${session.who.user}` : undefined)));
}

// end is a button that takes a build's claim away, after a question. Its process is not
// stopped.
function end(build, state, name, what, error) {
  const act = async () => {
    const text = h('div', {}, h('p', {}, keyText(build.key)), h('p', {}, what),
      h('p', { class: 'faint' }, 'The process that builds it does not stop: interrupt it where it runs. If it ends before anybody else has a value, its value is still taken.'));
    if (!await confirm(`${name} this build?`, text, name)) return;
    state.trouble.replaceChildren();
    try {
      await ask(objectPath(build.service, build.key, 'builds/'), { method: 'DELETE', body: JSON.stringify({ since: build.since, error }) });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      state.trouble.replaceChildren(problemBox(problem));
    }
  };
  return h('button', { type: 'button', class: 'quiet', 'aria-label': `${name} ${build.key}`, onclick: act }, `${name} …`);
}

function expected(build, left) {
  if (left === null) return build.progress !== null ? '' : 'nobody has said how long it takes';
  if (left < 0) return `longer than the ${span(build.expect)} that it usually takes`;
  return `${build.progress !== null ? ', ' : ''}about ${span(left)} left`;
}
