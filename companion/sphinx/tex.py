"""Formulas in plain characters, for places that typeset nothing: search, descriptions, labels."""

import re

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "vartheta": "ϑ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ",
    "pi": "π", "varpi": "ϖ", "rho": "ρ", "varrho": "ϱ", "sigma": "σ", "varsigma": "ς", "tau": "τ", "upsilon": "υ",
    "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
SIGNS = {
    "infty": "∞", "ell": "ℓ", "nabla": "∇", "partial": "∂", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
    "neq": "≠", "approx": "≈", "sim": "∼", "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "iff": "⇔", "in": "∈",
    "notin": "∉", "subset": "⊂", "cup": "∪", "cap": "∩", "times": "×", "cdot": "·", "odot": "⊙", "pm": "±", "mp": "∓",
    "sum": "∑", "prod": "∏", "int": "∫", "sqrt": "√", "ldots": "…", "dots": "…", "cdots": "…", "forall": "∀",
    "exists": "∃", "propto": "∝", "equiv": "≡", "langle": "⟨", "rangle": "⟩", "Vert": "‖", "lVert": "‖", "rVert": "‖",
    "|": "‖", "vert": "|", "mid": "|", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "top": "⊤",
    "perp": "⊥", "otimes": "⊗", "oplus": "⊕", "emptyset": "∅", "mathbb R": "ℝ", "quad": " ", "qquad": " ", "ll": "≪",
    "gg": "≫", "gtrsim": "≳", "lesssim": "≲", "mapsto": "↦", "star": "*", "dagger": "†", "prime": "′", "{": "{",
    "}": "}", ",": " ", ";": " ", ":": " ", " ": " ", "!": "", "\\": " ", "%": "%", "_": "_",
}  # fmt: skip
BLACKBOARD = dict(zip("CEHNPQRZ", "ℂ𝔼ℍℕℙℚℝℤ", strict=True))
SUBSCRIPTS = str.maketrans("0123456789+-=", "₀₁₂₃₄₅₆₇₈₉₊₋₌")
SUPERSCRIPTS = str.maketrans("0123456789+-=", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼")


def readable(tex: str) -> str:
    r"""A formula in plain characters: ``\ell_2`` becomes ``ℓ₂``, ``\frac{1}{n}`` becomes ``1/n``.

    It need not be typeset, only read and found: commands that change the look alone vanish.
    """
    tex = re.sub(r"\\(?:begin|end)\{[^}]*\}|\\label\{[^}]*\}|(?<!\\)&", " ", tex)
    tex = re.sub(r"\\mathbb\s*\{?([CEHNPQRZ])\}?", lambda m: BLACKBOARD[m[1]], tex)
    tex = re.sub(r"\\(?:operatorname\*?|text|textbf|mathrm|mathbf|mathcal|boldsymbol)\s*\{([^{}]*)\}", r"\1", tex)
    for _ in range(3):
        tex = re.sub(r"\\[tdc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", tex)
        tex = re.sub(r"\\[tdc]?frac\s*(\w)\s*(\w)", r"\1/\2", tex)
    tex = re.sub(r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits)(?![a-zA-Z])[lr]?\.?", "", tex)
    tex = re.sub(r"\\([a-zA-Z]+|.)", lambda m: GREEK.get(m[1]) or SIGNS.get(m[1], m[1] if m[1].isalpha() else ""), tex)
    tex = re.sub(r"_\{?([0-9+=-]+)\}?", lambda m: m[1].translate(SUBSCRIPTS), tex)
    tex = re.sub(r"\^\{?([0-9+=-]+)\}?", lambda m: m[1].translate(SUPERSCRIPTS), tex)
    tex = re.sub(r"_([∞⊤⊥*])", r"\1", tex)
    return re.sub(r"\s+", " ", re.sub(r"[{}~$]", "", tex)).strip()
