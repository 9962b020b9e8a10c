"""PLAN: the planner alone: what is to be done, and in which order."""

from harness.report import Bar, Line

STEPS, STEPS_SMOKE = 100_000, 10_000
INSTANCES, INSTANCES_SMOKE = 10_000, 1_000
ORDER_MOST_S, NONE_MOST_S, ALL_MOST_S = 0.100, 0.015, 0.150
SAMPLES_SMOKE = 3


def measure(workshop, count):
    # A smoke run sees that the bench still runs, and no more.
    smoke = count <= SAMPLES_SMOKE
    steps, instances = (STEPS_SMOKE, INSTANCES_SMOKE) if smoke else (STEPS, INSTANCES)
    planner = workshop.tool("bench-planner")

    def times(verb, size):
        done = workshop.meter.run([planner, verb, str(size), str(count)])
        if done.status != 0:
            raise RuntimeError(f"{verb} {size}: {done.err.decode(errors='replace').strip()}")
        return [float(line) for line in done.out.split()]

    graph = f"{steps} steps, {2 * steps} edges"
    yield Line("PLAN", f"order of {graph}, CPU", times("order", steps), bar=Bar(ORDER_MOST_S))
    yield Line("PLAN", f"a circle in {graph}, CPU", times("circle", steps), bar=Bar(ORDER_MOST_S))
    yield Line("PLAN", f"plan, {instances}, nothing to do, CPU", times("none", instances), bar=Bar(NONE_MOST_S))
    yield Line("PLAN", f"plan, {instances}, all change, CPU", times("all", instances), bar=Bar(ALL_MOST_S))
    yield Line("PLAN", f"plan, all new, {graph}, CPU", times("steps", steps))
