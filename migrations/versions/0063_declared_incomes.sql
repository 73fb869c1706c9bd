-- Incomes that members declare, by the event that says so: which rules of which pack version decided stands there. Smallest units, a month;
-- the one declared last counts from `from_on` on. `contribution` is what it made due as it was declared, `income` is in no event.
create table declared_incomes (
  member_id bigint not null, event_id bigint not null, income bigint not null check (income > 0), contribution bigint not null check (contribution > 0),
  tenant_id int not null, from_on date not null, declared_on date not null check (declared_on <= from_on), product text not null,
  primary key (member_id, event_id)
);
