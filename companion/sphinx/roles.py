"""Roles: ``measured`` and ``claim``, which read records, and ``computed``, which calls a chapter's function."""

import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from companion.catalogue import Chapter
from companion.parameters import PROFILES
from companion.sphinx.records import PageError, Records, claim_anchor, link, note_files, note_record, records_of
from companion.sphinx.tables import badge, verdict_kind
from companion.sphinx.values import compute, format_value, lookup

CHAPTER = r"(?:([a-z0-9-]+):)?"
Answer = tuple[list[nodes.Node], list[nodes.system_message]]


class _Role(SphinxRole):
    """A role that fails the build with the name of what it did not find."""

    usage = ""
    pattern = ""

    @property
    def records(self) -> Records:
        """The records of this build."""
        return records_of(self.env.app)

    def run(self) -> Answer:
        """The nodes, or a report of what is wrong."""
        try:
            match = re.fullmatch(self.pattern, self.text.strip())
            if not match:
                raise PageError(f"{self.text}: write {self.usage}")
            slug, *rest = match.groups()
            chapter = self.records.chapter(slug or Path(self.env.docname).name)
            return [self.node(chapter, *rest)], []
        except (PageError, LookupError) as error:
            message = self.inliner.reporter.error(f"{self.name}: {error}", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]

    def node(self, chapter: Chapter, *parts: str) -> nodes.Node:
        """What the role becomes."""
        raise NotImplementedError


class Measured(_Role):
    """``{measured}`C1a.slope|.2f@paper```: a measured value from a record, linked to its claim."""

    usage = "[CHAPTER:]CLAIM.NAME[|FORMAT][@PROFILE]"
    pattern = rf"{CHAPTER}([^|@]+?)(?:\|([^@]+))?(?:@({'|'.join(PROFILES)}))?"

    def node(self, chapter: Chapter, path: str, style: str | None, profile: str | None) -> nodes.Node:
        """A link with claim, profile and seed as its title."""
        record = note_record(self.env, chapter, profile or PROFILES[0])
        if record is None and profile in PROFILES[1:]:
            raise PageError(f"{path}: {chapter.slug} has no record at {profile} yet; put the sentence into record-only")
        if record is None or record.verdicts is None:
            raise PageError(f"{chapter.slug} has not been executed: run `companion execute {chapter.slug}`")
        try:
            text = format_value(lookup(record.bundle, path.strip()), style and style.strip())
        except PageError as error:
            raise PageError(str(error) if str(error).startswith(path) else f"{path}: {error}") from None
        claim = path.split(".")[0].strip()
        of_run = f"{record.verdicts.profile}, seed {record.verdicts.seed}"
        if claim == "quantities":  # not part of a claim: it is measured in the lab
            where = f"notebooks/{chapter.slug}" if profile in (None, PROFILES[0]) else f"records/{chapter.slug}"
            return link(self.env, text, where, reftitle=f"measured in the lab, {of_run}", classes=["measured"])
        page, anchor = f"book/{chapter.slug}", claim_anchor(claim)
        return link(self.env, text, page, anchor, reftitle=f"{claim}, {of_run}", classes=["measured"])


class ClaimRole(_Role):
    """``{claim}`C3c```: the name of a claim with its verdict, linked to its row."""

    usage = "[CHAPTER:]CLAIM"
    pattern = rf"{CHAPTER}(\S+)"

    def node(self, chapter: Chapter, name: str) -> nodes.Node:
        """A link that holds name and badge; the verdict is that of the quick profile."""
        claim = self.records.claim(chapter, name)
        note_record(self.env, chapter, PROFILES[0])
        verdict = self.records.verdicts(chapter, PROFILES[0]).get(name)
        reference = link(
            self.env,
            "",
            f"book/{chapter.slug}",
            claim_anchor(name),
            reftitle=claim.says,
            classes=["claim-ref", f"verdict-{verdict_kind(verdict)}", f"stance-{claim.stance}"],
        )
        reference += [nodes.inline("", name, classes=["claim-id"]), nodes.Text(" "), *badge(verdict)]
        return reference


class Computed(_Role):
    """``{computed}`triplets.shrinkage(1.0)|.5f```: a constant of the theory, from the chapter's own function."""

    usage = "[CHAPTER:]MODULE.FUNCTION(literals)[|FORMAT]"
    pattern = rf"{CHAPTER}([A-Za-z][\w.]*\(.*\))(?:\|([^|]+))?"

    def node(self, chapter: Chapter, expression: str, style: str | None) -> nodes.Node:
        """The value as text."""
        note_files(self.env, *self.records.sources(chapter))
        return nodes.inline("", format_value(compute(chapter, expression), style), classes=["computed"])
