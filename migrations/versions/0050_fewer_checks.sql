-- As before; most lists have one account, which gives all, and most orders take one after the other throughout.
create or replace function amounts_shared(wanted bigint, held bigint[], how text) returns bigint[] language plpgsql immutable parallel safe as $$
declare
  held_in_all bigint;
  left_over bigint;
begin
  if cardinality(held) = 1 then
    return array[least(wanted, held[1])];
  end if;
  held_in_all := amount_total(held);
  left_over := least(wanted, held_in_all);
  if how = 'pro-rata' and left_over > 0 then
    return (select array_agg(part + (rank <= spare)::int order by o) from (
              select o, part, row_number() over (order by remainder desc, o) as rank, left_over - sum(part) over () as spare from (
                select o, div(left_over::numeric * h, held_in_all)::bigint as part, mod(left_over::numeric * h, held_in_all) as remainder
                  from unnest(held) with ordinality u(h, o)) f) r);
  end if;
  for i in 1 .. coalesce(cardinality(held), 0) loop
    held[i] := least(left_over, held[i]);
    left_over := left_over - held[i];
  end loop;
  return held;
end $$;

create or replace function amounts_consumed(wanted bigint, held bigint[], origins int, pots_by text, origins_by text) returns bigint[]
language plpgsql immutable parallel safe as $$
declare
  pots int := cardinality(held) / origins;
  by_pot bigint[] := '{}';
  given bigint[] := '{}';
begin
  if cardinality(held) = 1 then
    return array[least(wanted, held[1])];
  end if;
  if pots_by = 'in-order' and origins_by = 'in-order' then
    return amounts_shared(wanted, held, 'in-order');
  end if;
  for p in 1 .. pots loop
    by_pot := by_pot || amount_total(held[(p - 1) * origins + 1 : p * origins]);
  end loop;
  by_pot := amounts_shared(wanted, by_pot, pots_by);
  for p in 1 .. pots loop
    given := given || amounts_shared(by_pot[p], held[(p - 1) * origins + 1 : p * origins], origins_by);
  end loop;
  return given;
end $$;

-- As before, without planning a query for each ratio.
create or replace function rounded_ratio(num numeric, den numeric, how text) returns bigint language plpgsql immutable parallel safe as $$
declare
  q numeric := div(abs(num), den);
  r numeric := abs(num) - q * den;
begin
  return sign(num) * (q + case how
    when 'down' then 0
    when 'up' then (r > 0)::int
    when 'half-up' then (r > 0 and 2 * r >= den)::int
    when 'half-even' then (2 * r > den or (2 * r = den and q % 2 = 1))::int
    when 'nearest-down' then (2 * r > den)::int end);
end $$;
