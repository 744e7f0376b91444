"""The report: tables in Markdown."""

from statistics import mean, median, quantiles

from calls import CALLS, RATIOS, SHARED


def report(database, servers, costs, calls):
    """Print the tables."""
    shared = [name for name in calls if name in SHARED]
    print(f"\n### {database}, CPU milliseconds a request\n")
    print(row("", *(CALLS[name].title for name in shared)))
    print(row("---", *["---:" for _ in shared]))
    for server in servers:
        cells = []
        for name in shared:
            own, reference = costs[server.name, name], costs[servers[0].name, name]
            ratio = median(one.cpu / other.cpu for one, other in zip(own, reference))
            cells.append(f"{median(cost.cpu for cost in own):.3f} (×{ratio:.2f})")
        print(row(server.contender.title, *cells))
    print(f"\n× is the ratio to {servers[0].contender.title}.\n")
    print(f"### {database}, in full\n")
    titles = (
        "CPU ms",
        "quartiles",
        "user",
        "system",
        "nginx",
        "req/s",
        "p50 ms",
        "p99 ms",
    )
    print(row("call", "of", *titles))
    print(row("---", "---", *["---:" for _ in titles]))
    for name, call in calls.items():
        for server in servers:
            if (server.name, name) in costs:
                print(
                    row(
                        call.title,
                        server.contender.title,
                        *format_costs(costs[server.name, name]),
                    )
                )
    print(f"\n### {database}, memory and start\n")
    print(row("", "MB a worker", "after the rounds", "first answer, s"))
    print(row("---", "---:", "---:", "---:"))
    for server in servers:
        first = f"{median(server.start_seconds):.2f}"
        title = server.contender.title
        print(
            row(title, f"{server.start_memory:.0f}", f"{server.end_memory:.0f}", first)
        )
    if ("ours", "get") not in costs:
        return
    print(f"\n### {database}, one to another\n")
    print(row("", "ratio", "quartiles"))
    print(row("---", "---:", "---:"))
    for title, (one, other) in RATIOS.items():
        if one in costs and other in costs:
            pairs = zip(costs[one], costs[other])
            low, middle, high = quartiles([a.cpu / b.cpu for a, b in pairs])
            print(row(title, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"))


def quartiles(numbers):
    """Return the quartiles."""
    return quantiles(numbers, n=4, method="inclusive") if numbers[1:] else numbers * 3


def format_costs(costs):
    """Return the cost of the rounds of one call, as text."""
    times = [cost.cpu for cost in costs]
    low, middle, high = quartiles(times)
    system = mean(cost.system for cost in costs) / mean(times)
    waits = sorted(wait for cost in costs for wait in cost.latencies)
    return [
        f"{middle:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{middle * (1 - system):.3f}",
        f"{middle * system:.3f}",
        f"{median(cost.nginx for cost in costs):.3f}",
        f"{median(cost.throughput for cost in costs):,.0f}",
        f"{waits[len(waits) // 2]:.2f}",
        f"{waits[len(waits) * 99 // 100]:.2f}",
    ]


def row(*cells):
    return f"| {' | '.join(cells)} |"
