{# Rows and headings that pandas' Styler laid out; the inside of a cell is escaped where it is written. #}
<table class="sortable">
<thead>
{% for r in head %}
{% set names = group_class if not loop.last else column_class %}
<tr{% if not loop.last %} class="groups"{% endif %}>
{%- set ns = namespace(place=0) -%}
{%- for c in r if c.is_visible -%}
<th scope="{{ 'col' if names is sameas column_class else 'colgroup' }}"
{%- if names[ns.place] %} class="{{ names[ns.place] }}"{% endif %}{% if c.attributes %} {{ c.attributes }}{% endif %}>{{ c.display_value }}</th>
{%- set ns.place = ns.place + 1 -%}
{%- endfor -%}
</tr>
{% endfor %}
</thead>
<tbody>
{% for r in body %}
<tr{% if row_class[loop.index0] %} class="{{ row_class[loop.index0] }}"{% endif %}>
{%- for c in r if c.is_visible -%}
{%- set classes = (column_class[loop.index0] ~ " " ~ cell_class(c.value)).strip() -%}
<{{ 'th scope="row"' if loop.first else 'td' }}{% if classes %} class="{{ classes }}"{% endif %}
{%- if not has_text[loop.index0] and c.value.sort_number is not none %} data-key="{{ '%.9g' % c.value.sort_number }}"{% endif %}>{{ c.display_value }}</{{ 'th' if loop.first else 'td' }}>
{%- endfor -%}
</tr>
{% endfor %}
</tbody>
</table>
