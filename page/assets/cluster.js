import { h } from './dom.js';
export const title = 'cluster';
export function show(box) { box.replaceChildren(h('h1', {}, 'cluster')); }
