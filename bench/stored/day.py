"""A day of four stations at 5 parts/s each, made by the server itself; rows as nodes write them.

Scores, latencies, frames, hashes and what not-OK parts show are random, so that nothing compresses
better than in life; names, versions and the boot id repeat, as they do.
"""

_RAW = """
'{"kind":"part","station":"' || station || '","epoch":1,"at_ms":' || at_ms || ',"mono_ms":'
|| n * 50 || ',"boot":"b4f1c2d3e4f5061728394a5b6c7d8e9f","clock":"synced","number":' || seq
|| ',"code":' || code || ',"reason":null,"computed":' || code || ',"computed_reason":null,'
|| '"defect":' || coalesce('"' || defect || '"', 'null') || ',"score":' || score
|| ',"mode":"auto","recipe":"plate","model":"' || model || '","trust":"pinned","product":null,'
|| '"batch":null,"serial":null,"inspect_ms":' || inspect_ms || ',"latency_ms":' || latency_ms
|| ',"views":[{"camera":"c1","code":' || code || ',"reason":null,"frame":' || seq
|| ',"exposed_ms":' || exposed_ms || ',"width":1920,"height":1080,"marks":' || marks
|| ',"picture":' || picture || ',"thumbnail":null,"source":null}]}'
"""

FILL = f"""
INSERT INTO part (stream, seq, at, received_at, plant, line, node, station, epoch, number, code,
                  computed, defect, score, mode, recipe, model, trust, inspect_ms, latency_ms,
                  views, hash, raw)
SELECT stream, seq, at, at + interval '300 ms', 'bench', 'line-1', node, station, 1, seq, code,
       code, defect, score, 'auto', 'plate', model, 'pinned', inspect_ms, latency_ms,
       (convert_from(raw, 'UTF8')::jsonb) -> 'views', encode(sha256(raw), 'hex'), raw
FROM (
    SELECT *, convert_to({_RAW}, 'UTF8') AS raw
    FROM (
        SELECT *, (extract(epoch FROM at) * 1000)::bigint AS at_ms,
               CASE WHEN code = 2 THEN '[{{"label":"scratch","score":' || score || ',"box":['
                   || (random() * 9000)::int || ',' || (random() * 9000)::int || ',' ||
                   (random() * 900)::int || ',' || (random() * 900)::int || ']}}]'
                   ELSE '[]' END AS marks,
               CASE WHEN code = 2 THEN '"' || encode(sha256(n::text::bytea), 'hex') || '"'
                    ELSE 'null' END AS picture,
               CASE WHEN code = 2 THEN 'scratch' END AS defect,
               encode(sha256('model'), 'hex') AS model
        FROM (
            SELECT n, n / 4 + 1 AS seq, 's' || mod(n, 4) AS station, 'node-' || mod(n, 4) AS node,
                   md5((mod(n, 4))::text) AS stream, 28 + (random() * 12)::int AS inspect_ms,
                   60 + (random() * random() * 60)::int AS latency_ms,
                   (random() * 9999)::int AS score, 8 + (random() * 8)::int AS exposed_ms,
                   CASE WHEN random() < 0.03 THEN 2 ELSE 1 END AS code,
                   %(until)s::timestamptz - (%(rows)s - n) * interval '50 ms'
                       + random() * interval '4 ms' AS at
            FROM generate_series(0, %(rows)s - 1) AS n
        ) AS drawn
    ) AS told
) AS written
"""

SUMMED = """
INSERT INTO minute_count (plant, line, station, node, recipe, model, mode, minute, ok, ng,
                          latency_count, latency_sum_ms, latency_max_ms)
SELECT plant, line, station, node, recipe, model, mode, date_trunc('minute', at),
       count(*) FILTER (WHERE code = 1), count(*) FILTER (WHERE code = 2), count(latency_ms),
       sum(latency_ms), max(latency_ms)
FROM part GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""

FROM_ROWS = """
SELECT date_trunc('minute', at), count(*) FILTER (WHERE code = 1), count(*) FILTER (WHERE code = 2)
FROM part WHERE at >= %(since)s AND at < %(until)s GROUP BY 1 ORDER BY 1
"""
"""The same question asked of the rows themselves, for comparison."""
