(()=>{
const root=document.documentElement,live=document.getElementById("live"),lang=root.lang;
const words=live.dataset,say=(c,t)=>{live.className="live "+c;if(live.textContent!==t)live.textContent=t};
const ago=new Intl.RelativeTimeFormat(lang,{numeric:"auto",style:"short"});
const units=[["day",86400],["hour",3600],["minute",60],["second",1]];
const show=e=>{
const at=new Date(e.dateTime),s=Math.round((at-Date.now())/1000);
const [u,n]=units.find(([,n])=>Math.abs(s)>=n)||units[3];
const t=ago.format(Math.trunc(s/n),u);
if(e.textContent!==t)e.textContent=t;
if(!e.title)e.title=at.toLocaleString(lang);
};
const all=e=>e.querySelectorAll("time").forEach(show);
all(document);
setInterval(()=>all(document),1000);
const es=new EventSource("events?lang="+lang);
es.onopen=()=>say("on",words.on);
es.onerror=()=>say("off",words.off);
es.addEventListener("build",e=>{if(e.data!==root.dataset.build)location.reload()});
document.querySelectorAll("[data-part]").forEach(p=>es.addEventListener(p.id,e=>{
const fresh=document.createElement("template");
fresh.innerHTML=e.data;
all(fresh.content);
p.replaceChildren(fresh.content);
p.hidden=!e.data;
}));
})();
