// Light or dark: as the system has it, unless one says otherwise in this browser.

import { h } from './dom.js';

const kept = 'larder-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : dark.matches;
}

function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

choose(localStorage.getItem(kept));

export function toggle() {
  const name = () => (isDark() ? 'Light' : 'Dark');
  const button = h('button', {
    type: 'button', class: 'quiet',
    onclick: () => {
      const theme = isDark() ? 'light' : 'dark';
      localStorage.setItem(kept, theme);
      choose(theme);
      button.textContent = name();
    },
  }, name());
  return button;
}
