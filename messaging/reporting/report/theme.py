"""The style sheet of the page: light and dark, wide and narrow, and on paper."""

__all__ = ["STYLE"]

_LIGHT = """
  --paper: #ffffff; --page: #f5f6f8; --ink: #1a1d21; --muted: #565d66; --grid: #d9dde2; --due: #8a929c;
  --first: #0b68b5; --second: #c2410c;
  --sent: #0b68b5; --waiting: #7db8e8; --unconfirmed: #9a4fb8; --failed: #c2410c; --expired: #b07d00;
  --suppressed: #6b7280; --cancelled: #a8afb8;
"""

_DARK = """
  --paper: #1b1e23; --page: #121417; --ink: #eceef1; --muted: #a9b1bb; --grid: #3a4049; --due: #8a929c;
  --first: #5aa9ee; --second: #f58a5b;
  --sent: #5aa9ee; --waiting: #2f6391; --unconfirmed: #c58be0; --failed: #f58a5b; --expired: #e0b04a;
  --suppressed: #9aa3ae; --cancelled: #5d6570;
"""

STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif;
}}
main {{ max-width: 1360px; margin: 0 auto; padding: 28px 24px 48px; }}
h1 {{ font-size: 30px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }}
h2 {{ font-size: 17px; line-height: 1.35; margin: 0 0 2px; overflow-wrap: anywhere; }}
.kind {{ margin: 0 0 2px; color: var(--muted); font-size: 14px; }}
.subtitle {{ margin: 4px 0 0; font-size: 17px; overflow-wrap: anywhere; }}
.facts {{ list-style: none; margin: 12px 0 0; padding: 0; color: var(--muted); font-size: 14px; overflow-wrap: anywhere; }}
.heads {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 24px; }}
header {{ margin-bottom: 20px; }}
.swatch {{ display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }}
.swatch.line {{ height: 0; border-top: 2px solid; border-radius: 0; width: 18px; vertical-align: 4px; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 12px; margin: 0 0 16px; padding: 0; }}
.tile, figure, .table {{ background: var(--paper); border: 1px solid var(--grid); border-radius: 10px; }}
.tile {{ padding: 12px 14px; }}
.tile b {{ display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }}
.tile span {{ color: var(--muted); font-size: 14px; }}
.grid {{ columns: 2 560px; column-gap: 16px; margin: 16px 0; }}
figure {{ margin: 0 0 16px; padding: 16px 18px; min-width: 0; break-inside: avoid; }}
figure > p {{ margin: 0 0 8px; color: var(--muted); font-size: 14px; }}
.legend {{ display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0 0 8px; padding: 0; list-style: none; font-size: 14px; }}
svg {{ display: block; width: 100%; height: auto; }}
svg * {{ stroke-linejoin: round; }}
svg.narrow {{ display: none; }}
.table {{ padding: 16px 18px; margin: 0 0 16px; overflow-x: auto; break-inside: avoid-page; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; font-size: 17px; padding-bottom: 6px; }}
th, td {{ text-align: right; padding: 5px 0 5px 10px; border-bottom: 1px solid var(--grid); white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere; min-width: 110px; }}
thead th {{ color: var(--muted); font-weight: 500; white-space: normal; vertical-align: bottom; }}
tbody th {{ font-weight: 400; }}
tfoot th, tfoot td {{ font-weight: 600; border-bottom: 0; }}
.compared {{ break-inside: avoid; }}
.compared caption {{ padding-bottom: 2px; }}
@media (max-width: 1100px) {{
  table {{ font-size: 13px; }}
  th, td {{ padding-left: 7px; }}
  th:first-child, td:first-child {{ min-width: 80px; }}
}}
@media (max-width: 620px) {{
  main {{ padding: 18px 12px 32px; }}
  h1 {{ font-size: 24px; }}
  figure, .table {{ padding: 14px 12px; }}
  .tiles {{ grid-template-columns: repeat(2, 1fr); }}
  svg.wide {{ display: none; }}
  svg.narrow {{ display: block; }}
}}
@page {{ size: A4; margin: 14mm; }}
@media print {{
  :root {{ color-scheme: light; }}
  body {{ background: none; font-size: 11pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  main {{ max-width: none; padding: 0; }}
  .grid {{ columns: 1; margin: 0; }}
  .tiles {{ grid-template-columns: repeat(auto-fit, minmax(78px, 1fr)); gap: 6px; }}
  .tile {{ padding: 8px; }}
  .tile b {{ font-size: 18px; }}
  .tile span {{ font-size: 11px; }}
  figure, .table {{ border-radius: 0; border-width: 1px 0 0; padding: 10px 0; margin: 0 0 8px; break-inside: avoid; }}
  .table.long {{ break-inside: auto; }}
  .table {{ overflow: visible; }}
  table {{ font-size: 9pt; }}
  th, td {{ padding: 3px 5px; }}
  tr {{ break-inside: avoid; }}
  tfoot {{ display: table-row-group; }}
  h2 {{ break-after: avoid; }}
  svg.wide {{ display: block; width: 84%; max-height: 215mm; }}
  svg.narrow {{ display: none; }}
}}
"""
