"""Expressions: text to plan, plan to vector, pure over one `select` and one time.

What is not supported is refused by name when it is planned.
"""

from collector.promql.errors import EvaluationError, PlanError, PromqlError, WorkError
from collector.promql.evaluate import Line, evaluate, evaluate_range, evaluate_steps
from collector.promql.nodes import Plan
from collector.promql.plan import plan
from collector.promql.rows import Result, Vector
from collector.promql.survey import Comparison, metric_names, needs, restrict, threshold

__all__ = [
    "Comparison",
    "EvaluationError",
    "Line",
    "Plan",
    "PlanError",
    "PromqlError",
    "Result",
    "Vector",
    "WorkError",
    "evaluate",
    "evaluate_range",
    "evaluate_steps",
    "metric_names",
    "needs",
    "plan",
    "restrict",
    "threshold",
]
