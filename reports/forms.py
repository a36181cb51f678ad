"""The forms that show sections: rich tables, Markdown, one HTML file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup, escape
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from reports.faults import fault
from reports.layout import TONES, Chart, Section, Table
from reports.text import clean, shorten

Sections = Sequence[tuple[str, Section]]
_STYLES = {"good": "green", "bad": "bold red", "unsure": "yellow"}
LONGEST_LINE = 400
_WHOLE_NAME = 13  # where room is short, an interval is broken before a name of this length
# What begins a list or is a rule, at the start of a text.
_BLOCK = re.compile(r"^\s*(?:[-+](?=\s|$)|-{3,}|\d{1,9}(?=[.)](?:\s|$)))")
_MARKDOWN = re.compile(r"[\\`*\[\]#~]|(?<!\w)_|_(?!\w)")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;"}
# A bare address would become a link.
_LINKS = {"://": "&#58;//", "www.": "www&#46;"}
# In the place of a chart, on the page and in a file of its own.
_LOST_CHART = """<svg xmlns="http://www.w3.org/2000/svg" width="640" height="48"
viewBox="0 0 640 48" font-family="sans-serif" font-size="12"><text x="4" y="18">This chart could \
not be made; the table holds its numbers.</text><text x="4" y="38">{}</text></svg>"""
_LOST_LINE = 96


def to_terminal(sections: Sections, console: Console) -> None:
    """Print the sections and columns that are no details."""
    for _, section in sections:
        if section.detail:
            continue
        console.print(Text(section.title, style="bold underline"))
        for words in section.words:
            console.print(Text(clean(words, 1200)))
        for lead, text in section.points:
            point = Text.assemble("- ", (clean(lead), "bold"), " " * bool(lead), clean(text, 1200))
            console.print(Padding(point, (0, 0, 0, 1)))
        for table in section.tables:
            if not table.detail:
                console.print(_rich_table(table.narrow()))
        console.print()
    console.print(Text("More, and charts: --format html. Everything: --format json.", style="dim"))


def _rich_table(table: Table) -> RichTable:
    made = RichTable(
        title=Text(clean(table.caption, 400)),
        title_justify="left",
        title_style="italic",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for at, column in enumerate(table.columns):
        longest = max((len(row[at]) for row in table.rows), default=0)
        made.add_column(
            Text(column.name),
            justify="right" if column.kind == "number" else "left",
            overflow="fold",
            no_wrap=column.kind == "word",
            min_width=min(longest, _WHOLE_NAME) if column.kind == "text" else None,
        )
    kinds = [column.kind for column in table.columns]
    for row in table.rows:
        made.add_row(*(_rich_text(text, kind) for text, kind in zip(row, kinds, strict=True)))
    return made


def _rich_text(text: str, kind: str) -> Text:
    tone = TONES.get(text) if kind == "word" else None
    return Text(clean(text, 400), style=_STYLES[tone] if tone else "")


def to_markdown(sections: Sections, title: str, pictures: str | None = None) -> str:
    """Headings, lists and tables; the sections and tables that are details are folded.

    `pictures` is the folder of the charts (`chart_files`), null to leave them out.
    """
    parts = [f"# {_escape(title)}"]
    for name, section in sections:
        body = _markdown_body(section)
        if pictures is not None:
            charts = enumerate(section.charts)
            body += [f"![{_escape(c.caption)}]({pictures}/{name}{at}.svg)" for at, c in charts]
        if section.detail:
            summary = f"<details><summary>{_escape(section.title)}</summary>"
            parts += [summary, *body, "</details>"]
        else:
            parts += [f"## {_escape(section.title)}", *body]
    return "\n\n".join(parts) + "\n"


def chart_files(sections: Sections) -> dict[str, str]:
    """The charts as SVG by the names of their files; one that cannot be drawn says why."""
    return {
        f"{name}{at}.svg": _drawn(chart, f"{name}{at}")
        for name, section in sections
        for at, chart in enumerate(section.charts)
    }


def _drawn(chart: Chart, name: str) -> str:
    """A chart, or what became of it: a fault in one must not cost the reader the page."""
    from reports.charts import svg  # altair takes a second to import, which other forms need not

    try:
        return svg(chart.draw(), name)
    except Exception as error:
        return _LOST_CHART.format(escape(shorten(f"{name}: {fault(error)}", _LOST_LINE)))


def _markdown_body(section: Section) -> list[str]:
    parts = [_escape(words) for words in section.words]
    if section.points:
        parts.append("\n".join(_markdown_point(*point) for point in section.points))
    for table in section.tables:
        caption = _escape(table.caption)
        if table.detail and not section.detail:
            summary = f"<details><summary>{caption} ({len(table.rows)})</summary>"
            parts += [summary, _markdown_table(table), "</details>"]
        else:
            parts += [f"*{caption}*", _markdown_table(table)]
    return parts


def _markdown_point(lead: str, text: str) -> str:
    return f"- **{_escape(lead)}** {_escape(text)}" if lead else f"- {_escape(text)}"


def _markdown_table(table: Table) -> str:
    heads = [_escape(column.name) for column in table.columns]
    rules = ["---:" if column.kind == "number" else "---" for column in table.columns]
    rows = [[_escape(text) for text in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rules, *rows])


def _escape(text: str) -> str:
    """Text that Markdown shows as it is: no markup, link, mention, or end of a table cell."""
    safe = "".join(_ENTITIES.get(character, character) for character in clean(text, 1200))
    for found, entity in _LINKS.items():
        safe = safe.replace(found, entity)
    # The # of an entity is not the text's.
    parts = re.split(r"(&#?\w+;)", safe)
    escaped = "".join(
        part if at % 2 else _MARKDOWN.sub(r"\\\g<0>", part) for at, part in enumerate(parts)
    )
    return _BLOCK.sub(_no_block, escaped)


def _no_block(found: re.Match[str]) -> str:
    """A backslash after a number, and before a dash or plus, leaves it as it is."""
    start = found.group()
    return f"{start}\\" if start[-1].isdigit() else f"{start[:-1]}\\{start[-1]}"


def to_html(
    sections: Sections, title: str, data: Mapping[str, str] | None = None, about: str = ""
) -> str:
    """One page: style and script inside, charts as inline SVG, every name escaped.

    `data` are files to be downloaded from the page, by name; `about` is a line under its title.
    """
    files = chart_files(sections)
    drawn = {
        name: [(chart.caption, files[f"{name}{at}.svg"]) for at, chart in enumerate(section.charts)]
        for name, section in sections
    }
    script = resources.files("reports").joinpath("templates/page.js").read_text("utf-8")
    # The only script that a browser runs here, whatever a name may smuggle in.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    packed = [
        (f"data{at}", name, _packed(text)) for at, (name, text) in enumerate((data or {}).items())
    ]
    page = _templates().get_template("page.html.j2")
    return page.render(
        title=clean(title),
        about=clean(about, LONGEST_LINE),
        sections=sections,
        drawn=drawn,
        tones=TONES,
        zip=zip,
        data=packed,
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )


def _packed(text: str) -> str:
    packed = gzip.compress(text.encode(), compresslevel=6, mtime=0)  # 9 takes twice as long
    return base64.b64encode(packed).decode()


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
