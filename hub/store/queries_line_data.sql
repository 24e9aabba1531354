-- Line data: what ingest writes of it and what the pages ask. Same form as queries.sql.

-- name: tag_of
-- A tag of one stream, with exactly the fields of hub.figures.Figure.
SELECT station, name, title, value, known, exponent, unit, counts, word, fault, at
FROM tag WHERE stream = %(stream)s AND station = %(station)s AND name = %(tag)s;

-- name: tags_kept
-- Writes tags as they were read last; the cursor's lock makes this the only writer. rows: JSON, as in
-- the table.
INSERT INTO tag (stream, plant, line, node, station, name, title, value, known, exponent, unit,
                 counts, word, fault, at)
SELECT stream, plant, line, node, station, name, title, value, known, exponent, unit, counts, word,
       fault, at
FROM json_populate_recordset(NULL::tag, %(rows)s::json)
ON CONFLICT (stream, station, name) DO UPDATE SET
    (title, value, known, exponent, unit, counts, word, fault, at) =
    (excluded.title, excluded.value, excluded.known, excluded.exponent, excluded.unit,
     excluded.counts, excluded.word, excluded.fault, excluded.at);

-- name: growth_added
-- Adds to what counts grew in minutes. rows: JSON, as in the table.
INSERT INTO tag_growth AS g (plant, line, node, station, name, exponent, unit, minute, grown)
SELECT plant, line, node, station, name, exponent, unit, minute, grown
FROM json_populate_recordset(NULL::tag_growth, %(rows)s::json)
ON CONFLICT (plant, line, node, station, name, exponent, unit, minute) DO UPDATE SET
    grown = g.grown + excluded.grown;

-- name: lines_kept
-- Writes how the lines of stations stand since when. rows: JSON, as in the table.
INSERT INTO line_state (stream, plant, line, node, station, state, cause, word, at)
SELECT stream, plant, line, node, station, state, cause, word, at
FROM json_populate_recordset(NULL::line_state, %(rows)s::json)
ON CONFLICT (stream, station) DO UPDATE SET
    (state, cause, word, at) = (excluded.state, excluded.cause, excluded.word, excluded.at);

-- name: tags_now
-- The newest reading of each tag (of the newest stream that has it), with what it grew since
-- `since` where it counts: plant, line, node, station, name, title, value, exponent, unit, counts,
-- word, fault, at, grown.
SELECT DISTINCT ON (t.plant, t.line, t.node, t.station, t.name)
       t.plant, t.line, t.node, t.station, t.name, t.title, t.value, t.exponent, t.unit, t.counts,
       t.word, t.fault, t.at,
       (SELECT coalesce(sum(g.grown), 0) FROM tag_growth g
        WHERE (g.plant, g.line, g.node, g.station, g.name, g.exponent, g.unit)
            = (t.plant, t.line, t.node, t.station, t.name, t.exponent, t.unit)
          AND g.minute >= %(since)s)::bigint AS grown
FROM tag t
WHERE (%(plant)s::text IS NULL OR t.plant = %(plant)s)
  AND (%(line)s::text IS NULL OR t.line = %(line)s)
ORDER BY t.plant, t.line, t.node, t.station, t.name, t.at DESC;

-- name: lines_now
-- How the line of each station stands: plant, line, node, station, state, cause, word, at.
SELECT DISTINCT ON (plant, line, node, station)
       plant, line, node, station, state, cause, word, at
FROM line_state
WHERE (%(plant)s::text IS NULL OR plant = %(plant)s)
  AND (%(line)s::text IS NULL OR line = %(line)s)
ORDER BY plant, line, node, station, at DESC;
