"""The page's style sheet: light and dark by the reader's setting, and on paper."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--bg:#fff;--ink:#16202c;--soft:#566273;--line:#dfe4ea;--card:#f6f8fa;--accent:#1f5fbf;
--good:#0f7a4a;--bad:#b3261e;--warn:#8a5a00;--s0:#1f5fbf;--s1:#c2570c;--s2:#0f7a4a;--s3:#8e44ad;--s4:#b3261e;--s5:#0e7490;
--s6:#7a6a00;--s7:#5b6472;--q0:#c3ccd6;--q1:#9db7d8;--q2:#5b8fd0;--q3:#1f5fbf}
@media (prefers-color-scheme:dark){:root{--bg:#10151c;--ink:#e6ebf1;--soft:#a3afbd;--line:#2b3542;--card:#18202a;
--accent:#7db0ff;--good:#5fd39b;--bad:#ff8a80;--warn:#f2c265;--s0:#7db0ff;--s1:#ffa868;--s2:#5fd39b;--s3:#d3a4f0;--s4:#ff8a80;
--s5:#67d3e8;--s6:#dcc94f;--s7:#b4bfcc;--q0:#37424f;--q1:#48658a;--q2:#5f8fce;--q3:#9cc4ff}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main,header,footer,nav{max-width:1280px;margin:0 auto;padding:0 24px}
header{padding-top:32px}h1{font-size:26px;margin:0;line-height:1.25;overflow-wrap:anywhere}
h2{font-size:19px;margin:0 0 4px;padding-top:8px}h3{font-size:15px;margin:16px 0 4px}
p{margin:6px 0;max-width:86ch}.soft,caption,figcaption{color:var(--soft);font-size:13px}
a{color:var(--accent)}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
nav{padding-top:12px;padding-bottom:12px}nav{display:flex;flex-wrap:wrap;gap:4px 16px}
section{border-top:1px solid var(--line);padding:16px 0 20px}
.verdict{border-left:5px solid var(--warn);background:var(--card);padding:14px 18px;margin:18px 0 4px;border-radius:4px}
.verdict.good{border-color:var(--good)}.verdict.bad{border-color:var(--bad)}
.verdict strong{font-size:18px;line-height:1.4;display:block;margin-bottom:6px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:14px 0}
.tiles div{background:var(--card);border-radius:4px;padding:9px 12px}
.tiles b{display:block;font-size:20px;overflow-wrap:anywhere}
.tiles span{color:var(--soft);font-size:13px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:4px 0}
th,td{text-align:left;padding:5px 9px;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap}
td.p{overflow-wrap:anywhere;min-width:140px}td.p:first-child{min-width:0;overflow-wrap:normal}td.p:has(details){min-width:250px}
code,pre{font:12.5px/1.5 ui-monospace,"DejaVu Sans Mono",monospace}
pre{background:var(--card);padding:10px 12px;border-radius:4px;overflow-x:auto;margin:6px 0}
td code{overflow-wrap:anywhere}
.loose{color:var(--warn);font-weight:600}details>summary{cursor:pointer}
details table{margin:4px 0 8px;background:var(--card)}
figure{margin:10px 0}svg{display:block;width:100%;max-width:860px;height:auto}svg text{fill:var(--ink);font-size:11.5px}
svg .label{fill:var(--soft)}svg .grid{stroke:var(--line)}svg .bar{fill:var(--accent)}
svg .note{font-weight:600;fill:var(--bad);paint-order:stroke;stroke:var(--bg);stroke-width:4px}
svg .luck{stroke:var(--bad);stroke-width:2;stroke-dasharray:6 4;fill:none}
svg .even{stroke:var(--ink);stroke-width:1.5;fill:none}svg .zero{stroke:var(--soft);fill:none}
svg .dots{stroke:var(--accent);stroke-opacity:.45;stroke-width:5;stroke-linecap:round;fill:none}
svg .lead{stroke:var(--s1);stroke-width:10;stroke-linecap:round;fill:none}
svg .above{fill:var(--s0)}svg .below{fill:var(--s4)}svg .none{fill:none;stroke:var(--line)}
svg .cell,svg .halo{paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}
svg .axis{stroke:var(--soft)}svg .way{fill:none;stroke-opacity:.5}svg .q0{stroke:var(--q0)}svg .q1{stroke:var(--q1)}
svg .q2{stroke:var(--q2)}svg .q3{stroke:var(--q3);stroke-opacity:.8}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}
.s5{stroke:var(--s5)}
.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}polyline.run{fill:none;stroke-width:1.8}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;list-style:none;padding:0;margin:6px 0}
.key svg{width:26px;height:10px;display:inline-block;margin-right:6px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:8px 24px}
footer{padding-top:14px;padding-bottom:32px}
@media print{nav{display:none}section{break-inside:avoid-page}.wide{overflow:visible}
main,header,footer{max-width:none;padding:0}
pre{white-space:pre-wrap}}
""".replace("\n", "")
