"""Breaks the learner in a copy of the repository, one line at a time, and asks whether its tests notice.

    .venv/bin/python scripts/mutate_learner.py                      # every mutation
    .venv/bin/python scripts/mutate_learner.py --only preference.py
    .venv/bin/python scripts/mutate_learner.py --only detach

First the tests must pass on the copy as it is. Then one line is printed for each mutation: `caught` where
a test fails, `SURVIVED` where all pass, `BROKEN` where the text to replace does not stand in the file
exactly once, or where pytest could not run. The exit status is 1 unless all are caught.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # before torch is imported
sys.dont_write_bytecode = True  # a mutation of the same length in the same second would run the old

import pytest  # noqa: E402
import torch  # noqa: E402, F401
import transformers  # noqa: E402, F401

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = Path("agents/learners"), Path("tests/unit/agents")
LEFT_OUT = (".git", ".venv*", "runs", "wandb", "outputs", "__pycache__", ".*_cache", ".hypothesis")

OBJECTIVES = ("test_preference", "test_policy_gradient", "test_supervised", "test_objectives")
GUARDS: dict[str, Sequence[str]] = {
    "inputs.py": OBJECTIVES,
    "preference.py": ("test_preference", "test_contrastive", "test_objectives"),
    "policy_gradient.py": ("test_policy_gradient", "test_correction", "test_objectives"),
    "supervised.py": ("test_supervised", "test_objectives"),
    "advantages.py": ("test_advantages",),
    "prepare.py": ("test_prepare",),
    "schedule.py": ("test_schedule",),
    "diagnostics.py": ("test_drift",),
    "batching.py": ("test_batching", "test_learner", "test_forward"),
    "forward.py": ("test_forward", "test_learner", "test_learner_options"),
    "head.py": ("test_forward", "test_families_learner"),
    "modes.py": ("test_families_learner",),
    "targets.py": ("test_targets",),
    "learner.py": ("test_learner", "test_learner_options", "test_rehearsal"),
}

# By file: what stands there, what takes its place, and what that means.
MUTATIONS: dict[str, list[tuple[str, str, str]]] = {
    "inputs.py": [
        ("terms.masked_fill(inputs.loss_mask == 0, 0.0)", "terms", "padding is summed"),
        ("logprobs.masked_fill(inputs.loss_mask == 0, 0.0).sum", "logprobs.sum", "padding in totals"),
        ("masked.sum(-1) / inputs.lengths", "masked.mean(-1)", "mean over padding too"),
        ('"token": counts.tokens', '"token": counts.sequences', "token reduction by sequences"),
        ("counts.sequences * counts.longest", "counts.tokens * counts.longest", "constant by tokens"),
        ('"sum": counts.sequences', '"sum": 1.0', "sum is not averaged over sequences"),
        ("terms.detach(), inputs", "terms.detach() * 2, inputs", "metrics are doubled"),
        (".clamp(min=1)", ".clamp(min=2)", "a completion of one token counts as two"),
    ],
    "preference.py": [
        ("return chosen - rejected\n", "return rejected - chosen\n", "difference turned round"),
        ("_loss(-logsigmoid(margins), margins", "_loss(-logsigmoid(-margins), margins", "dpo's sign"),
        ("-(1 - noise) * logsigmoid(margins) - noise", "-logsigmoid(margins) - noise", "cdpo: 1 - ε"),
        ("+ noise * logsigmoid(-margins)) /", "- noise * logsigmoid(-margins)) /", "robust: sign"),
        ("/ (1 - 2 * noise)", "/ (1 - noise)", "robust: normaliser"),
        ("torch.relu(1 - margins)", "torch.relu(-margins)", "hinge without its margin"),
        ("_log_ratios(inputs, True)", "_log_ratios(inputs, False)", "ipo on sums"),
        ("1 / (2 * settings.beta)", "1 / settings.beta", "ipo's target"),
        ("settings.beta * ratios, inputs", "ratios, inputs", "apo_zero ignores β"),
        ("1 - chosen.sigmoid() + rejected", "1 - chosen.sigmoid() - rejected", "apo_zero: sign"),
        ("margins - settings.target_margin", "margins + settings.target_margin", "simpo: sign of γ"),
        ("-chosen + settings.rejected_weight * rejected", "-chosen + rejected", "redi ignores α"),
        ("ratios - inputs.baseline", "ratios", "kto without its baseline"),
        ("inputs.weights > 0", "inputs.weights >= 0", "kto: a label of 0 is desirable"),
        ("masked_fill(desirable,", "masked_fill(~desirable,", "kto: weights swapped"),
        (".sum() / inputs.counts.chosen", ".sum() / inputs.counts.pairs", "contrastive: by pairs"),
        ("gaps = -settings.beta", "gaps = settings.beta", "contrastive: sign"),
        (" - totals(inputs.ref_logprobs, inputs)", "", "log ratios without the reference"),
        ("ratios / inputs.lengths if length_normalised", "ratios if length_normalised", "not a token"),
        ("settings.nll_weight * chosen", "settings.nll_weight * rejected", "nll on the rejected"),
        ("n = inputs.counts.pairs", "n = len(losses)", "the mean of a micro-batch"),
        ("(margins > 0)", "(margins >= 0)", "a margin of 0 is accurate"),
    ],
    "policy_gradient.py": [
        ("terms = -torch.minimum(", "terms = -torch.maximum(", "grpo: the optimistic bound"),
        ("losses = -torch.minimum(", "losses = torch.minimum(", "sequence ratios: sign"),
        (
            "clamp(1 - settings.clip_low, 1 + settings.clip_high)",
            "clamp(1 - settings.clip_high, 1 + settings.clip_low)",
            "clip bounds swapped",
        ),
        (
            "means = totals(_log_ratio(inputs), inputs) / inputs.lengths",
            "means = totals(_log_ratio(inputs), inputs)",
            "gspo without the root",
        ),
        ("_log_ratio(inputs).detach().exp()", "_log_ratio(inputs).exp()", "cispo: missing detach"),
        (
            "terms = -clipped * _advantage(inputs) * inputs.logprobs",
            "terms = -ratio * _advantage(inputs) * inputs.logprobs",
            "cispo is not clipped",
        ),
        ("(1 - inputs.success)", "inputs.success", "oreal: success for failure"),
        ("torch.where(right, -inputs.logprobs, push)", "torch.where(right, push, push)", "no cloning"),
        ("gap.square() / 2", "gap.square()", "k2 is doubled"),
        ("(-gap).exp() + gap - 1", "gap.exp() - gap - 1", "k3 the other way round"),
        (
            "_masked(inputs.old_logprobs - inputs.sampling_logprobs, inputs).detach()",
            "_masked(inputs.old_logprobs - inputs.sampling_logprobs, inputs)",
            "correction weights carry a gradient",
        ),
        (
            "_masked(inputs.old_logprobs - inputs.sampling_logprobs",
            "_masked(inputs.sampling_logprobs - inputs.old_logprobs",
            "correction upside down",
        ),
        ("gap.sum(-1, keepdim=True)", "gap.mean(-1, keepdim=True)", "correction: mean of a sequence"),
        ("weights.clamp(max=cap)", "weights.clamp(min=1 / cap, max=cap)", "truncated below too"),
        (" | (weights < 1 / cap)", "", "mask is open below"),
        (
            "inputs.old_logprobs if inputs.old_logprobs is not None else inputs.sampling_logprobs",
            "inputs.sampling_logprobs",
            "ratio to the sampling policy under a correction",
        ),
        ("return _masked(inputs.logprobs - old, inputs)", "return inputs.logprobs - old", "padding"),
        ('reduced(terms, inputs, "sum")', 'reduced(terms, inputs, "mean")', "reduced twice"),
        (
            "loss = reduced(terms, inputs, settings.reduction)",
            'loss = reduced(terms, inputs, "mean")',
            "the reduction is ignored",
        ),
        ("loss + settings.kl_weight * reduced", "loss - settings.kl_weight * reduced", "kl: sign"),
        ("divergence(current, reference,", "divergence(reference, current,", "kl turned round"),
        ("(ratio != clipped)", "(ratio == clipped)", "clip_share counts the others"),
    ],
    "supervised.py": [
        ("reduced(-inputs.weights[:, None]", "reduced(inputs.weights[:, None]", "sft: sign"),
        ("terms = inputs.weights[:, None] * ", "terms = ", "distill ignores the weight"),
        ("        return _kl(p, q)\n", "        return _kl(q, p)\n", "forward is reverse"),
        ("[mix, 1 - mix]", "[1 - mix, mix]", "js: the mixture swapped"),
        ("mix * _kl(p, m) + (1 - mix) * _kl(q, m)", "_kl(p, m) + _kl(q, m)", "js is not weighted"),
        ("(p.exp() * (p - q))", "(p.exp() * (q - p))", "divergence: sign"),
        ("nll = -(means * inputs.right)", "nll = (means * inputs.right)", "rehearsal: sign"),
        ("(means * inputs.right)", "means", "wrong completions are rehearsed"),
        ("/ inputs.counts.right", "/ inputs.right.sum()", "rehearsal: mean of a micro-batch"),
        ("totals(inputs.logprobs, inputs) / inputs.lengths", "totals(inputs.logprobs, inputs)", "sum"),
        ("settings.rft_weight * nll", "nll", "rehearsal without its weight"),
        ("return loss + settings.rft_weight", "return settings.rft_weight", "rehearsal alone"),
    ],
    "advantages.py": [
        ("(total - reward) / (count - 1)", "total / count", "leave-one-out with its own share"),
        ("(total - reward) / (count - 1)", "(total - reward) / count", "leave-one-out: divisor"),
        ("statistics.stdev(rewards)", "statistics.pstdev(rewards)", "population deviation in groups"),
        ("statistics.stdev(own)", "statistics.pstdev(own)", "population deviation over the batch"),
        ("[mean(group) for group in rewards]", "rewards", "group_batch is not centred"),
        ("return _standardised(rewards, tasks)", 'return batch(rewards, tasks)', "tasks are mixed"),
        (
            "decay * before + (1 - decay) * statistics",
            "(1 - decay) * before + decay * statistics",
            "ema: decay turned round",
        ),
        ("reward - baselines[asked]", "baselines[asked] - reward", "ema: sign"),
        ("if asked == name for r in group", "for r in group", "ema: one baseline for all tasks"),
        ("EPSILON = 1e-4", "EPSILON = 1e-2", "ε"),
    ],
    "prepare.py": [
        ("place[index] = len(rows)\n", "place[index] = index\n", "pairs are not renumbered"),
        ("(place[chosen], place[rejected])", "(place[rejected], place[chosen])", "pairs swapped"),
        ("right and row.token_ids not in seen", "right", "rft keeps duplicates"),
        ("right = reward > 0", "right = reward >= 0", "rft imitates wrong completions"),
        (' or completion.finish_reason == "reference"\n', "\n", "references are not rehearsed"),
        ("dataclasses.replace(row, right=True)", "row", "nothing is rehearsed"),
        ("and settings.rft_weight:", "and False:", "groups that only rehearse are left out"),
        ("and settings.rft_weight:", "and True:", "they are kept without rehearsal"),
        ("[row for row in token_group.rows if row.right]", "token_group.rows", "wrong ones stay"),
        ("            token_group.pairs = []\n", "", "pairs of rows that are gone"),
        ("(settings.rft_weight > 0 and row.right)", "False", "rehearsed tokens do not count"),
        ("settings.rft_weight > 0 and row.right", "row.right", "they count without rehearsal"),
        ('("labels", "positives")', '("labels",)', "references are wrong for rft"),
        ("tokens.completion(completion.text)", "tokens.prompt(completion.text)", "a reference has no end"),
        ("len(row.token_ids) > room", "len(row.token_ids) >= room", "the last position is not used"),
        ("token_ids[:count], logprobs[:count]", "token_ids[:count], logprobs", "logprobs are not cut"),
        ("token_ids[:count], logprobs[:count]", "token_ids[: count - 1], logprobs[:count]", "off by one"),
        (">= characters", "> characters", "a token too many"),
        ("len(row.sampling_logprobs) < len(row.token_ids)", "not row.sampling_logprobs", "too few"),
        ("rewards[i] = own", "pass", "rewards for advantages"),
        ("max(ids) < vocabulary", "max(ids) <= vocabulary", "one id beyond the vocabulary"),
        ("min(ids) >= 0", "min(ids) >= -1", "a negative id"),
        ("return any(row.weight for", "return any(row.weight > 0 for", "negative weights do not teach"),
        ("version = completion.policy_version if token_ids else -1", "version = 0", "references drift"),
    ],
    "schedule.py": [
        ("(steps + 1) / settings.warmup_steps", "steps / settings.warmup_steps", "first step at 0"),
        ("(updates + share)", "updates", "β and step size jump between rounds"),
        ("min(1.0, (updates", "max(1.0, (updates", "beyond the end"),
        ("settings.lr_final + (1 - settings.lr_final) * left", "left", "no final share"),
        ("(1 + math.cos(math.pi * done)) / 2", "math.cos(math.pi * done / 2)", "a quarter cosine"),
        ("(settings.beta_final - settings.beta) * done", "settings.beta_final * done", "β's line"),
    ],
    "diagnostics.py": [
        ("if row.policy_version < 0:", "if row.policy_version < -1:", "references have an age"),
        ("self.version - row.policy_version", "row.policy_version", "versions for ages"),
        ("exp(together) - 1 - together", "exp(-together) - 1 + together", "k3 the other way round"),
        ("if age == 0 and gap", "if gap", "old attempts are a mismatch"),
        ("if self.comparable and", "if", "greedy tokens are compared"),
        ("line[: len(drawn)]", "line[-len(drawn) :]", "aligned at the wrong end"),
    ],
    "batching.py": [
        ("width - len(group.prompt_ids) :] = 1", "width - len(group.prompt_ids) + 1 :] = 1", "mask"),
        ("loss_mask[i, : len(row.token_ids)]", "loss_mask[i, : len(row.token_ids) - 1]", "last token"),
        ("first += len(group.rows)", "first += 1", "pairs of later groups"),
        ("(first + chosen, first + rejected)", "(first + rejected, first + chosen)", "pairs swapped"),
        ("before += [prompt[-1:], own]", "before += [prompt[:1], own]", "predicted from the wrong place"),
        ("positions.append(torch.arange(size, size + read))", "positions.append(own)", "positions"),
        ("sequences * group.longest > token_budget", "group.longest > token_budget", "budget"),
        ("+ len(group.prompt_ids) - 1\n", "+ len(group.prompt_ids)\n", "padded: the wrong place"),
    ],
    "forward.py": [
        ("token_divergence(logits, taught, kind", "token_divergence(taught, logits, kind", "teacher"),
        ("is_causal=True", "is_causal=False", "tokens see what follows"),
    ],
    "head.py": [
        ("logits[part].to(found.dtype) / temperature", "logits[part].to(found.dtype)", "temperature"),
        (".softmax(-1).mul_(-pull)", ".softmax(-1).mul_(pull)", "log-softmax: sign of the gradient"),
        ("gradient[part, None] / ctx.temperature", "gradient[part, None]", "gradient: temperature"),
        (
            "forward(model, return_dict=True).logits",
            "self.causal.get_output_embeddings()(model._body().last_hidden_state)",
            "the head applied bare",
        ),
    ],
    "modes.py": [
        ("model.train(dropout)", "model.train()", "dropout where none was asked for"),
        ("layer.training = False", "pass", "dropout in layers that are computed again"),
        ("layer.training = True\n\n\ndef _recomputed", "pass\n\n\ndef _recomputed", "nothing is"),
    ],
    "targets.py": [
        ("        and module is not head\n", "", "an adapter on the head"),
        ("        result += names if others else [leaf]", "        result += [leaf]", "others' names"),
    ],
    "learner.py": [
        ('max(0.0, found["sum"]', '(found["sum"]', "kto: z below 0"),
        ("self.optimizer.zero_grad()", "pass", "gradients pile up"),
        ("settings, version - 1, 0.0", "settings, version, 0.0", "β a round early"),
        ("if settings.rft_weight:", "if False:", "no rehearsal"),
        ("right=sum(row.right for", "right=sum(1 for", "rehearsal: mean over all completions"),
        (
            "right=sum(row.right for group in groups for row in group.rows) or 1",
            "right=sum(row.right for group in groups for row in group.rows)",
            "rehearsal: 0 / 0",
        ),
        (
            "right=sum(row.right for group in groups",
            "right=sum(row.right for group in self.world.share(groups)",
            "rehearsal: mean of a rank",
        ),
    ],
}  # fmt: skip


def run_tests(copy: Path, source: str) -> int:
    """pytest's exit status: 0 all passed, 1 some failed, else it could not run.

    In a fork of this process, which has imported torch already and nothing of the project's.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(copy)
    sys.path[0] = str(copy)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    files = [str(TESTS / f"{name}.py") for name in GUARDS[source]]
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *files]))


def verdict(copy: Path, source: str, old: str, new: str) -> str:
    path = copy / SOURCES / source
    text = path.read_text()
    if text.count(old) != 1:
        return f"BROKEN: the text stands there {text.count(old)} times"
    path.write_text(text.replace(old, new))
    try:
        status = run_tests(copy, source)
    finally:
        path.write_text(text)
    return {0: "SURVIVED", 1: "caught"}.get(status, f"BROKEN: pytest exits with {status}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="mutations whose line holds this text")
    only = parser.parse_args(arguments).only
    chosen = [
        (f"{source}: {what}", source, old, new)
        for source, listed in MUTATIONS.items()
        for old, new, what in listed
        if only in f"{source}: {what}" or only in old
    ]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for source in dict.fromkeys(source for _, source, _, _ in chosen):
            if run_tests(copy, source):
                print(f"{source}: its tests fail as it is; nothing can be said", flush=True)
                return 1
        found = []
        for line, *mutation in chosen:
            found.append(verdict(copy, *mutation))
            print(f"{found[-1]:9} {line}", flush=True)
    caught = found.count("caught")
    print(f"{caught} of {len(found)} caught")
    return int(caught != len(found) or not found)


if __name__ == "__main__":
    sys.exit(main())
