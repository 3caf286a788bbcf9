import { h } from './dom.js';
export const title = 'builds';
export function show(box) { box.replaceChildren(h('h1', {}, 'builds')); }
