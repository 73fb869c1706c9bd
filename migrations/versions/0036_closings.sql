-- Days that are closed. A day is what the books recorded from the end of the day before until `until`; a version more, each time
-- it is closed again after a reopening. event_id is 0 until its balances are written.
create table closings (
  until timestamptz not null, closed_at timestamptz not null default clock_timestamp(), event_id bigint not null default 0,
  reopened_event bigint not null default 0, tenant_id int not null, version int not null, day date not null,
  primary key (tenant_id, day, version)
);
create index closings_in_force on closings (tenant_id, until) where reopened_event = 0;
create unique index closings_once on closings (tenant_id, day) where reopened_event = 0;

-- Which steps of a day are done, and what each said: the unit of resumption.
create table closing_steps (
  done_at timestamptz not null default clock_timestamp(), tenant_id int not null, version int not null, day date not null, step text not null,
  report jsonb not null, primary key (tenant_id, day, version, step)
);
-- What a closed day began with, moved and ended with, by account code; of members' codes for all members together. Credit balances.
create table closing_balances (
  opening bigint not null, debits bigint not null, credits bigint not null, tenant_id int not null, code int not null,
  version int not null, day date not null,
  primary key (tenant_id, day, version, code), foreign key (tenant_id, day, version) references closings
);
-- Days that somebody asks to open again, and what a second person decided.
create table reopenings (
  proposed_at timestamptz not null, decided_at timestamptz, event_id bigint not null default 0, tenant_id int not null, reopening_no int not null,
  proposed_by int not null, decided_by int, from_day date not null,
  state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')), reason text not null,
  primary key (tenant_id, reopening_no), check ((decided_by is null) = (state = 'proposed'))
);
create unique index reopenings_waiting on reopenings (tenant_id) where state = 'proposed';

-- What background work failed on, and leaves alone until a person has looked: so that one account does not stop the others.
create table quarantine (
  since timestamptz not null, seen_at timestamptz not null, released_at timestamptz, member_id bigint not null,
  quarantine_no bigint generated always as identity, tenant_id int not null, tries int not null default 1,
  task text not null, subject text not null, reason text not null, owner text not null, released_by text not null default '',
  primary key (tenant_id, task, subject)
);
create unique index quarantine_by_number on quarantine (tenant_id, quarantine_no);

-- A closed day takes no batch, and nothing is posted without one. Closing takes the lock alone, so it waits for postings on their
-- way, and those after it see the day closed and run again, in the open one. One look-up a batch, not a row.
create function refuse_closed_day() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(7104, new.tenant_id);
  if exists (select from closings where tenant_id = new.tenant_id and until > new.recorded_at and reopened_event = 0) then
    raise exception 'the day of % is closed', new.recorded_at using errcode = 'serialization_failure', detail = 'closed';
  end if;
  return new;
end $$;
create trigger refuse_closed_day before insert on batches for each row execute function refuse_closed_day();
