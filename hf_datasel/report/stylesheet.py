"""How the page of a report looks: in light and dark, on a phone, on paper."""

STYLESHEET = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1d2125; --soft: #5a626b; --line: #d9dde1;
  --kept: #0072b2; --dropped: #b87700; --mark: #eef1f4; --link: #00629b; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1d2126; --ink: #e8eaed; --soft: #a4adb7;
  --line: #363d45; --kept: #56b4e9; --dropped: #e69f00; --mark: #2a3037; --link: #7cc4f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
footer { padding-top: 2rem; padding-bottom: 3rem; color: var(--soft); font-size: 0.875rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 0.5rem; }
h2 { font-size: 1.35rem; margin: 2.75rem 0 0.75rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 0.5rem; }
p { margin: 0.5rem 0; max-width: 46rem; }
a { color: var(--link); }
.lead, .note, figcaption, caption { color: var(--soft); }
.note { font-size: 0.9rem; }
nav ul, .badges { display: flex; flex-wrap: wrap; gap: 0.35rem 1rem; list-style: none; margin: 0.75rem 0; padding: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.75rem; margin: 1rem 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 0.5rem; padding: 0.75rem 1rem; }
.tiles dt { color: var(--soft); font-size: 0.85rem; }
.tiles dd { margin: 0; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; min-width: 20rem; font-size: 0.925rem; }
caption { text-align: left; padding-bottom: 0.4rem; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 1.25rem 0.35rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; }
tbody th { font-weight: 500; min-width: 8.5rem; max-width: 22rem; overflow-wrap: break-word; }
td { overflow-wrap: anywhere; min-width: 4rem; }
.numbers td, .numbers thead th + th { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal;
  white-space: nowrap; }
figure { margin: 1.25rem 0 2rem; }
figure img { display: block; width: 100%; max-width: 52rem; height: auto; background: #ffffff; border-radius: 0.5rem;
  border: 1px solid var(--line); padding: 0.5rem; }
figure .wide { margin: 0; }
figcaption { max-width: 46rem; margin-top: 0.5rem; font-size: 0.925rem; }
figcaption strong { color: var(--ink); }
details { margin: 0.5rem 0; }
summary { cursor: pointer; }
details[open] > summary > .excerpt { display: none; }
.more { color: var(--link); font-size: 0.9rem; white-space: nowrap; }
.warning { border-left: 4px solid var(--dropped); padding: 0.25rem 0.75rem; background: var(--mark); }
.example { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--line);
  border-radius: 0.5rem; padding: 0.75rem 1.1rem 0.9rem; margin: 0.9rem 0; }
.example.kept { border-left-color: var(--kept); }
.example.dropped { border-left-color: var(--dropped); }
.example h3 { display: inline-block; margin: 0 1rem 0 0; }
.badges { display: inline-flex; margin: 0.1rem 0; font-size: 0.85rem; gap: 0.3rem 0.5rem; }
.badges li { background: var(--mark); border-radius: 0.75rem; padding: 0.05rem 0.6rem; }
.kept .badges li:first-child { color: var(--kept); font-weight: 600; }
.dropped .badges li:first-child { color: var(--dropped); font-weight: 600; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; font-size: 0.875rem; line-height: 1.5; }
.field { margin-top: 0.6rem; }
.name, .role { margin: 0; color: var(--soft); font-size: 0.8rem; font-weight: 600; letter-spacing: 0.02em; }
.turns { list-style: none; margin: 0.2rem 0 0; padding: 0 0 0 0.75rem; border-left: 2px solid var(--line); }
.turns li { margin-bottom: 0.5rem; }
.beside { display: flex; flex-wrap: wrap; gap: 0.2rem 1.5rem; margin: 0.7rem 0 0; font-size: 0.875rem; }
.beside div { display: flex; gap: 0.4rem; min-width: 0; }
.beside dt { color: var(--soft); }
.beside dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.odd { background: var(--mark); color: var(--dropped); border-radius: 0.25rem; padding: 0 0.2rem; font-size: 0.85em;
  unicode-bidi: isolate; direction: ltr; }
@media (max-width: 40rem) { header { padding-top: 1.5rem; } header, main, footer { padding-left: 1rem;
  padding-right: 1rem; } h1 { font-size: 1.5rem; } .example { padding: 0.6rem 0.8rem; }
  figure img { padding: 0.2rem; min-width: 33rem; } }
@media print { body { background: #ffffff; } figure, .example { break-inside: avoid; } nav { display: none; } }
"""
