(()=>{
const root=document.documentElement,live=document.getElementById("live"),lang=root.lang;
const say=(c,t)=>{live.className="live "+c;if(live.textContent!==t)live.textContent=t};
const ago=new Intl.RelativeTimeFormat(lang,{numeric:"auto",style:"short"});
const units=[["day",86400],["hour",3600],["minute",60],["second",1]];
const show=e=>{
if(!e.dateTime)e.dateTime=e.textContent;
const at=new Date(e.dateTime.replace(" ","T")),s=Math.round((at-Date.now())/1000);
const [u,n]=units.find(([,n])=>Math.abs(s)>=n)||units[3];
const t=ago.format(Math.trunc(s/n),u);
if(e.textContent!==t)e.textContent=t;
if(!e.title)e.title=at.toLocaleString(lang);
};
const all=e=>e.querySelectorAll("time").forEach(show);
all(document);
setInterval(()=>all(document),1000);
let es,again;
const connect=()=>{
clearTimeout(again);
if(es)es.close();
es=new EventSource("events?lang="+lang);
es.onopen=()=>say("on",live.dataset.on);
es.onerror=()=>{
say("off",live.dataset.off);
// After a response that is none of events, a browser does not come back by itself.
if(es.readyState===2)again=setTimeout(connect,5000);
};
es.addEventListener("build",e=>{if(e.data!==root.dataset.build)location.reload()});
document.querySelectorAll("[data-part]").forEach(p=>es.addEventListener(p.id,e=>{
const fresh=document.createElement("template");
fresh.innerHTML=e.data;
all(fresh.content);
p.replaceChildren(fresh.content);
p.hidden=!e.data;
}));
};
connect();
// A page that nobody sees asks for nothing.
document.addEventListener("visibilitychange",()=>{
if(document.hidden){clearTimeout(again);es.close();say("",live.dataset.off)}else connect();
});
})();
