import { h } from './dom.js';
export const title = 'saved';
export function show(box) { box.replaceChildren(h('h1', {}, 'saved')); }
