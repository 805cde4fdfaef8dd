"""The text of notifications, as an Alertmanager template file: what, since when, whom, where to look.

There is one template per language and one for both. A notification of several alerts lists the firing ones
first and then the resolved ones, each with its own links.
"""

from typing import Final

_WORDS: Final = {
    "en": {
        "firing": "STANDING",
        "resolved": "OVER",
        "dashboard": "Dashboard",
        "runbook": "Runbook",
        "summary": "summary",
        "description": "description",
    },
    "vi": {
        "firing": "ĐANG DIỄN RA",
        "resolved": "ĐÃ KẾT THÚC",
        "dashboard": "Bảng theo dõi",
        "runbook": "Hướng dẫn xử lý",
        "summary": "summary_vi",
        "description": "description_vi",
    },
}


def template_file() -> str:
    """Return the template file: ``portallink.title.LANGUAGE`` and ``portallink.text.LANGUAGE``."""
    parts = [_title(language) + _text(language) for language in _WORDS]
    return "".join(parts) + _both()


def _title(language: str) -> str:
    words = _WORDS[language]
    return (
        f'{{{{ define "portallink.title.{language}" }}}}'
        f'{{{{ if eq .Status "firing" }}}}[{words["firing"]} {{{{ len .Alerts.Firing }}}}]'
        f"{{{{ else }}}}[{words['resolved']}]{{{{ end }}}}"
        f"{{{{ range $i, $a := .Alerts }}}}{{{{ if lt $i 5 }}}} {{{{ if $i }}}}· {{{{ end }}}}"
        f"{{{{ $a.Annotations.{words['summary']} }}}}{{{{ end }}}}{{{{ end }}}}"
        "{{ if gt (len .Alerts) 5 }} …{{ end }}{{ end }}\n"
    )


def _text(language: str) -> str:
    words = _WORDS[language]
    one = (
        f"{{{{ .Annotations.{words['summary']} }}}}\n{{{{ .Annotations.{words['description']} }}}}\n"
        f"{words['dashboard']}: {{{{ .Annotations.dashboard_url }}}}\n"
        f"{words['runbook']}: {{{{ .Annotations.runbook_url }}}}?lang={language}\n"
    )
    return (
        f'{{{{ define "portallink.text.{language}" }}}}'
        f"{{{{ range .Alerts.Firing }}}}{words['firing']}: {one}{{{{ end }}}}"
        f"{{{{ range .Alerts.Resolved }}}}{words['resolved']}: {one}{{{{ end }}}}{{{{ end }}}}\n"
    )


def _both() -> str:
    return (
        '{{ define "portallink.title.both" }}{{ template "portallink.title.vi" . }} / '
        '{{ template "portallink.title.en" . }}{{ end }}\n'
        '{{ define "portallink.text.both" }}{{ template "portallink.text.vi" . }}\n'
        '{{ template "portallink.text.en" . }}{{ end }}\n'
    )
